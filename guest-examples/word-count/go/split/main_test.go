package main

import (
	"testing"

	"github.com/tidewheel/tidewheel/sdk/go/tidewheeltest"
)

func TestSplitsAtEverythingThatIsNoLetter(t *testing.T) {
	h := tidewheeltest.Stateless(t, &Split{})
	h.Send("", 0, "The wheel -- the tide's wheel!")
	h.Wants("the", "wheel", "the", "tide", "s", "wheel")
}

func TestTheWordIsTheKey(t *testing.T) {
	h := tidewheeltest.Stateless(t, &Split{})
	h.Send("", 0, "Tide")
	if records := h.Records(); len(records) != 1 || records[0].Key != "tide" {
		t.Errorf("emitted %v", records)
	}
}
