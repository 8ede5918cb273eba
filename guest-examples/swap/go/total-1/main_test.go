package main

import (
	"testing"

	"github.com/tidewheel/tidewheel/guest-examples/rfm/go/shop"
	"github.com/tidewheel/tidewheel/sdk/go/tidewheeltest"
)

func TestCentsAreLost(t *testing.T) {
	h := tidewheeltest.Keyed(t, &TotalOfDollars{})
	for _, cents := range []shop.Cents{1199, 301} {
		h.Send("ann", 0, shop.Purchase{CustomerID: "ann", NumberOfCDs: 1, DollarValue: cents})
	}
	h.Wants(Told{"ann", 11}, Told{"ann", 14})
}
