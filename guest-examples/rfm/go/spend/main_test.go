package main

import (
	"testing"
	"time"

	"github.com/tidewheel/tidewheel/guest-examples/rfm/go/shop"
	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/tidewheeltest"
)

func TestAddsUpThePurchasesOfAWindow(t *testing.T) {
	h := tidewheeltest.Aggregate(t, &Spend{}, tidewheeltest.Tumbling(24*time.Hour))
	for _, bought := range []struct {
		at    tidewheel.EventTime
		cds   uint32
		cents shop.Cents
	}{{0, 1, 1177}, {5, 2, 2000}, {90_000_000, 1, 1}} {
		h.Send("shop", bought.at, shop.Purchase{CustomerID: "ann", NumberOfCDs: bought.cds, DollarValue: bought.cents})
	}
	h.AdvanceWatermark(86_400_000)
	h.Wants(Spent{"1970-01-01", "1970-01-02", 2, 3, 3177})
}
