package main

import (
	"testing"

	"github.com/tidewheel/tidewheel/guest-examples/rfm/go/shop"
	"github.com/tidewheel/tidewheel/sdk/go/tidewheeltest"
)

func TestGoesOnFromWholeDollars(t *testing.T) {
	h := tidewheeltest.Keyed(t, &TotalOfCents{})
	tidewheeltest.Load(h, "total", "ann", 1, uint64(14))
	if total, _ := tidewheeltest.Value[Total](h, "total", "ann"); total != (Total{1400, 0}) {
		t.Errorf("ann has spent %v", total)
	}
	for customer, cents := range map[string]shop.Cents{"ann": 1199, "bob": 5} {
		h.Send(customer, 0, shop.Purchase{CustomerID: customer, NumberOfCDs: 1, DollarValue: cents})
		h.Wants(Told{customer, map[string]shop.Cents{"ann": 2599, "bob": 5}[customer], 1})
	}
}
