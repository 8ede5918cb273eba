package tidewheel_test

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/tidewheeltest"
)

// adder adds numbers up. It takes part of a record in before it looks whether the rest is right, as users may.
type adder struct{}

type sum struct{ Count, Sum int64 }

func (*adder) Add(sum *sum, text tidewheel.Record[string]) error {
	sum.Count++
	number, err := strconv.ParseInt(text.Value, 10, 64)
	sum.Sum += number
	return err
}

func (*adder) Merge(sum *sum, other sum) {
	sum.Count += other.Count
	sum.Sum += other.Sum
}

func (*adder) Result(window tidewheel.Window, sum sum, ctx tidewheel.Context[sum2]) error {
	if ctx.Window() != window {
		return tidewheel.Fail(errors.New("there are two windows"))
	}
	ctx.Emit(sum2(sum))
	return nil
}

// sum2 goes out in another format than the accumulator is kept in.
type sum2 sum

func (*adder) Options() []tidewheel.Option {
	return []tidewheel.Option{tidewheel.AccumulatorFormat("postcard"), tidewheel.Named("adder", "1")}
}

func sent(key string, at int64, value string) tidewheeltest.Sent[string] {
	return tidewheeltest.Sent[string]{Key: key, EventTime: tidewheel.EventTime(at), Value: value}
}

func TestWindowsFireWhenTheWatermarkReachesTheirEnd(t *testing.T) {
	h := tidewheeltest.Aggregate(t, &adder{}, tidewheeltest.Tumbling(10*time.Millisecond))
	h.SendAll(sent("a", 1, "1"), sent("a", 9, "2"), sent("b", 5, "7"))
	h.Send("a", 2, "4")
	h.Send("a", 3, "8")
	h.Send("a", 10, "100")
	h.AdvanceWatermark(8)
	h.Wants()
	h.AdvanceWatermark(9)
	h.Wants(sum2{4, 15}, sum2{1, 7})
	h.Send("a", 9, "1")
	if late := h.Late(); len(late) != 1 || string(late[0]) != "1" {
		t.Errorf("late are %q", late)
	}
	h.Finish()
	h.Wants(sum2{1, 100})
}

func TestARejectedRecordLeavesNoTraceInTheAccumulator(t *testing.T) {
	h := tidewheeltest.Aggregate(t, &adder{})
	send := func(key string, texts ...string) {
		var records []tidewheeltest.Sent[string]
		for _, text := range texts {
			records = append(records, sent(key, 1, text))
		}
		h.SendAll(records...)
	}
	send("a", "1", "x", "2", "y", "z", "4", "8", "w")
	send("a", "x", "16")
	send("b", "x", "y")
	if rejected := h.Rejected(); len(rejected) != 7 {
		t.Errorf("%d records are rejected", len(rejected))
	}
	h.Finish()
	h.Wants(sum2{5, 31})
}

// recall tells of a window, and of the one before.
type recall struct {
	Before tidewheel.Value[string] `state:"before"`
}

func (r *recall) Process(window tidewheel.Window, records []tidewheel.Record[number], ctx tidewheel.Context[string]) error {
	var texts []string
	for _, record := range records {
		texts = append(texts, fmt.Sprint(int64(record.Value)))
		if record.Value < 0 {
			return errors.New("below zero")
		}
	}
	told := fmt.Sprintf("%d-%d: %s after %s", window.Start, window.End, strings.Join(texts, " "), r.Before.GetOr("nothing"))
	ctx.Emit(told)
	return r.Before.Set(strings.Join(texts, " "))
}

// number is one in JSON.
type number int64

func TestAWindowIsSeenWholeAndRemembersTheOneBefore(t *testing.T) {
	for _, options := range [][]tidewheeltest.Option{nil, {tidewheeltest.PartsOf(1)}, {tidewheeltest.PartsOf(2)}} {
		h := tidewheeltest.Window(t, &recall{}, options...)
		for at, value := range []number{1, 2, 3} {
			h.Send("a", tidewheel.EventTime(at), value)
		}
		h.SendBytes("a", 4, []byte("no number"))
		h.Send("a", 1000, 4)
		h.AdvanceWatermark(999)
		h.Wants("0-1000: 1 2 3 after nothing")
		if rejected := h.Rejected(); len(rejected) != 1 || string(rejected[0].Value) != "no number" {
			t.Errorf("rejected %v", rejected)
		}
		h.Finish()
		h.Wants("1000-2000: 4 after 1 2 3")
	}
}

func TestAnErrorRejectsTheRecordsOfItsWindow(t *testing.T) {
	h := tidewheeltest.Window(t, &recall{})
	h.Send("a", 1, 1)
	h.Send("a", 2, -1)
	h.Send("b", 3, 5)
	h.Finish()
	h.Wants("0-1000: 5 after nothing")
	var reasons []string
	for _, rejected := range h.Rejected() {
		reasons = append(reasons, string(rejected.Value)+" "+rejected.Reason)
	}
	if want := []string{"1 below zero", "-1 below zero"}; !reflect.DeepEqual(reasons, want) {
		t.Errorf("rejected %q", reasons)
	}
	if _, isSet := tidewheeltest.Value[string](h, "before", "a"); isSet {
		t.Error("a window that was refused is remembered")
	}
}
