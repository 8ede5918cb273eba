package main

import (
	"testing"

	"github.com/tidewheel/tidewheel/sdk/go/tidewheeltest"
)

func TestTotalsAddUp(t *testing.T) {
	h := tidewheeltest.Keyed(t, &Totals{})
	h.Send("ann", 0, Order{"ann", 250})
	h.Send("ann", 0, Order{"ann", 50})
	h.Wants(Total{"ann", 250}, Total{"ann", 300})
	if total, _ := tidewheeltest.Value[uint64](h, "total", "ann"); total != 300 {
		t.Errorf("the state is %d", total)
	}
}
