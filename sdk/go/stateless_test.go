package tidewheel_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/tidewheeltest"
)

// claims makes a watermark of each number in a record.
type claims struct{}

func (claims) Process(record tidewheel.Record[string], ctx tidewheel.Context[string]) error {
	ctx.Emit(record.Value)
	for _, word := range strings.Fields(record.Value) {
		time, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return err
		}
		ctx.EmitWatermark(tidewheel.EventTime(time))
	}
	return nil
}

func TestWatermarksOfARecordThatIsRejectedAreUndone(t *testing.T) {
	h := tidewheeltest.Stateless(t, &claims{})
	h.SendAll(
		tidewheeltest.Sent[string]{Value: "5 10"},
		tidewheeltest.Sent[string]{Value: "20 x"},
		tidewheeltest.Sent[string]{Value: "30 7"},
	)
	if made := h.Watermarks(); !slices.Equal(made, []tidewheel.EventTime{5, 10, 30, 7}) {
		t.Errorf("the watermarks are %v", made)
	}
	if again := h.Watermarks(); len(again) > 0 {
		t.Errorf("the watermarks were taken, but %v are there again", again)
	}
	h.Wants("5 10", "30 7")
	if rejected := h.Rejected(); len(rejected) != 1 || string(rejected[0].Value) != "20 x" {
		t.Errorf("rejected %+v", rejected)
	}
}

func TestOnlyAStatelessOperatorMakesWatermarks(t *testing.T) {
	h := tidewheeltest.Keyed(t, &claims{})
	err := h.TrySendAll(tidewheeltest.Sent[string]{Key: "a", Value: "1"})
	if err == nil || !strings.Contains(err.Error(), "the component of a source") {
		t.Errorf("the error is %v", err)
	}
}

// rates tells variables of the environment, and what there was of one when it was opened.
type rates struct{ opened string }

func (r *rates) Open(tidewheel.Config) error {
	r.opened, _ = tidewheel.Env("RATES_KEY")
	return nil
}

func (r *rates) Process(name tidewheel.Record[string], ctx tidewheel.Context[string]) error {
	value, granted := tidewheel.Env(name.Value)
	ctx.Emit(fmt.Sprintf("%s %t %s", value, granted, r.opened))
	return nil
}

func TestAnOperatorSeesTheVariablesThatItIsGranted(t *testing.T) {
	given := []tidewheeltest.Option{tidewheeltest.WithEnv("RATES_KEY", "abc"), tidewheeltest.WithEnv("EMPTY", "")}
	one, other := tidewheeltest.Stateless(t, &rates{}, given...), tidewheeltest.Stateless(t, &rates{})
	for _, name := range []string{"RATES_KEY", "EMPTY", "HOME"} {
		one.Send("", 0, name)
		other.Send("", 0, name)
	}
	one.Wants("abc true abc", " true abc", " false abc")
	other.Wants(" false ", " false ", " false ")
	if _, granted := tidewheel.Env("RATES_KEY"); granted {
		t.Error("nothing is granted where no operator is called")
	}
}
