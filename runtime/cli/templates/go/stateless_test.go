package main

import (
	"testing"

	"github.com/tidewheel/tidewheel/sdk/go/tidewheeltest"
)

func TestPricesAreInEuros(t *testing.T) {
	h := tidewheeltest.Stateless(t, &Prices{})
	h.Send("ann", 0, Order{"ann", 250})
	h.Wants(Price{"ann", 2.5})
}
