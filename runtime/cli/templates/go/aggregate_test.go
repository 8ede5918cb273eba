package main

import (
	"testing"
	"time"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/tidewheeltest"
)

func TestTotalsAddUp(t *testing.T) {
	h := tidewheeltest.Aggregate(t, &Totals{}, tidewheeltest.Tumbling(time.Hour))
	at := func(minutes int) tidewheel.EventTime { return tidewheel.EventTime(0).Add(time.Duration(minutes) * time.Minute) }
	h.Send("ann", at(0), Order{"ann", 250})
	h.Send("ann", at(59), Order{"ann", 50})
	h.Send("ann", at(61), Order{"ann", 999})
	h.AdvanceWatermark(at(60))
	h.Wants(Total{"ann", 300})
}
