package main

import (
	"testing"

	"github.com/tidewheel/tidewheel/sdk/go/tidewheeltest"
)

func TestCountsEachWordOnItsOwn(t *testing.T) {
	h := tidewheeltest.Keyed(t, &Count{})
	for _, word := range []string{"tide", "wheel", "tide"} {
		h.Send(word, 0, word)
	}
	h.Wants(WordCount{"tide", 1}, WordCount{"wheel", 1}, WordCount{"tide", 2})
	if count, _ := tidewheeltest.Value[uint64](h, "count", "tide"); count != 2 {
		t.Errorf("tide has come %d times", count)
	}
}
