package tidewheel_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/tidewheeltest"
)

// ledger does a little of everything, as its records say: "add 5", "list x", "put k v", "scan", "timer 10".
type ledger struct {
	Sum     tidewheel.Value[int64]                         `state:"sum" format:"fixed"`
	Note    tidewheel.Value[string]                        `state:"note" rides:"false"`
	Largest tidewheel.Reducing[int64, larger]              `state:"largest" format:"postcard"`
	List    tidewheel.List[string]                         `state:"list"`
	Map     tidewheel.Map[string, string]                  `state:"map"`
	Soon    tidewheel.Timer                                `timer:"soon"`
	Later   tidewheel.Timer                                `timer:"later" clock:"processing"`
	Side    tidewheel.Output[string]                       `output:"side"`
	Seen    tidewheel.Counter                              `metric:"seen"`
	Mean    tidewheel.Aggregating[int64, acc, int64, mean] `state:"mean"`

	// calls is of an instance, which is another one in each call.
	calls int
}

type larger struct{}

func (larger) Reduce(soFar, added int64) int64 { return max(soFar, added) }

type acc struct{ Sum, Count int64 }

type mean struct{}

func (mean) Add(acc *acc, value int64) { acc.Sum, acc.Count = acc.Sum+value, acc.Count+1 }
func (mean) Result(acc *acc) int64     { return acc.Sum / acc.Count }

func (l *ledger) Process(record tidewheel.Record[string], ctx tidewheel.Context[string]) error {
	l.calls++
	l.Seen.Increment()
	for _, command := range strings.Split(record.Value, "; ") {
		if err := l.do(strings.Fields(command), ctx); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) do(words []string, ctx tidewheel.Context[string]) error {
	switch words[0] {
	case "add":
		number, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			return err
		}
		if _, err := l.Largest.Add(number); err != nil {
			return err
		}
		if _, err := l.Mean.Add(number); err != nil {
			return err
		}
		return l.Sum.Set(l.Sum.GetOr(0) + number)
	case "note":
		return l.Note.Set(l.Note.GetOr("") + words[1])
	case "list":
		return l.List.Append(words[1])
	case "put":
		return l.Map.Put(words[1], words[2])
	case "remove":
		l.Map.Remove(words[1])
	case "timer":
		at, err := strconv.ParseInt(words[1], 10, 64)
		l.Soon.Set(tidewheel.EventTime(at))
		l.Later.Replace(tidewheel.EventTime(at))
		return err
	case "emit":
		ctx.Emit(words[1])
	case "side":
		l.Side.Emit(words[1], tidewheel.WithKey("other"), tidewheel.WithHeader("why", "told"))
	case "calls":
		ctx.Emit(fmt.Sprint(l.calls))
	case "fail":
		return tidewheel.Fail(errors.New("all is lost"))
	case "refuse":
		return errors.New("refused")
	case "scan":
		for key, value := range l.Map.Scan().All() {
			ctx.Emit(key + "=" + value)
		}
	}
	return nil
}

func (l *ledger) OnTimer(at tidewheel.EventTime, ctx tidewheel.Context[string]) error {
	name := "soon"
	if l.Later.IsDue() {
		name = "later"
	}
	ctx.Emit(fmt.Sprintf("%s %d %d", name, at, l.Sum.GetOr(-1)))
	return nil
}

func TestEachKeyHasStateOfItsOwn(t *testing.T) {
	h := tidewheeltest.Keyed(t, &ledger{})
	h.Send("a", 1, "add 5; note x")
	h.Send("b", 2, "add 7; list one")
	h.Send("a", 3, "add -2; note y; list two; list three")
	for key, want := range map[string]int64{"a": 3, "b": 7} {
		if sum, isSet := tidewheeltest.Value[int64](h, "sum", key); !isSet || sum != want {
			t.Errorf("the sum of %s is %d", key, sum)
		}
	}
	if largest, _ := tidewheeltest.Value[int64](h, "largest", "a"); largest != 5 {
		t.Errorf("the largest is %d", largest)
	}
	if mean, _ := tidewheeltest.Value[acc](h, "mean", "a"); mean != (acc{3, 2}) {
		t.Errorf("the mean is of %v", mean)
	}
	if note, _ := tidewheeltest.Value[string](h, "note", "a"); note != "xy" {
		t.Errorf("the note is %q", note)
	}
	if list := tidewheeltest.Elements[string](h, "list", "a"); !slices.Equal(list, []string{"two", "three"}) {
		t.Errorf("the list is %v", list)
	}
	if seen := h.Metric("seen"); seen != 3 {
		t.Errorf("%v records were seen", seen)
	}
}

func TestARejectedRecordHasDoneNothing(t *testing.T) {
	everything := "add 100; note n; list l; put k v; remove old; scan; timer 5; emit e; side s; "
	h := tidewheeltest.Keyed(t, &ledger{})
	h.Send("a", 0, "add 1; note m; list k; put old 1")
	batch := []string{"add 1", everything + "refuse", "put new 2", everything + "add many", "scan"}
	var records []tidewheeltest.Sent[string]
	for _, text := range batch {
		records = append(records, tidewheeltest.Sent[string]{Key: "a", Value: text})
	}
	h.SendAll(records...)
	h.Wants("new=2", "old=1")
	rejected := h.Rejected()
	if len(rejected) != 2 || rejected[0].Reason != "refused" || !strings.Contains(rejected[1].Reason, "invalid syntax") {
		t.Errorf("rejected %v", rejected)
	}
	if sum, _ := tidewheeltest.Value[int64](h, "sum", "a"); sum != 2 {
		t.Errorf("the sum is %d", sum)
	}
	if note, _ := tidewheeltest.Value[string](h, "note", "a"); note != "m" {
		t.Errorf("the note is %q", note)
	}
	if list := tidewheeltest.Elements[string](h, "list", "a"); !slices.Equal(list, []string{"k"}) {
		t.Errorf("the list is %v", list)
	}
	want := []tidewheel.Entry[string, string]{{Key: "new", Value: "2"}, {Key: "old", Value: "1"}}
	if entries := tidewheeltest.Entries[string, string](h, "map", "a"); !slices.Equal(entries, want) {
		t.Errorf("the map is %v", entries)
	}
	if timers := h.Timers("a"); len(timers) > 0 {
		t.Errorf("timers are set to %v", timers)
	}
	if side := tidewheeltest.SideOutputs[string](h, "side"); len(side) > 0 {
		t.Errorf("the side output has %v", side)
	}
}

func TestACallThatFailsHasDoneNothing(t *testing.T) {
	h := tidewheeltest.Keyed(t, &ledger{})
	records := []tidewheeltest.Sent[string]{{Key: "a", Value: "add 1; put k v; scan"}, {Key: "b", Value: "fail"}}
	if err := h.TrySendAll(records...); err == nil || err.Error() != "all is lost" {
		t.Errorf("the call gave %v", err)
	}
	if _, isSet := tidewheeltest.Value[int64](h, "sum", "a"); isSet {
		t.Error("the sum is set")
	}
	if entries := tidewheeltest.Entries[string, string](h, "map", "a"); len(entries) > 0 {
		t.Errorf("the map is %v", entries)
	}
	h.Wants()
}

func TestTimersFollowTheirClocks(t *testing.T) {
	h := tidewheeltest.Keyed(t, &ledger{})
	h.Send("a", 0, "add 3; timer 20; timer 10")
	h.AdvanceNow(15)
	h.Wants("later 10 3")
	h.AdvanceWatermark(9)
	h.Wants()
	h.AdvanceWatermark(20)
	h.Wants("soon 10 3", "soon 20 3")
	h.Send("a", 0, "timer 30")
	h.Finish()
	h.Wants("soon 30 3")
	h.AdvanceNow(100)
	h.Wants()
}

func TestWhatIsEmittedInheritsTimeAndKey(t *testing.T) {
	h := tidewheeltest.Keyed(t, &ledger{})
	h.SendAll(
		tidewheeltest.Sent[string]{Key: "a", EventTime: 7, Value: "emit x"},
		tidewheeltest.Sent[string]{Key: "b", EventTime: 8, Value: "side y"},
		tidewheeltest.Sent[string]{Key: "a", EventTime: 9, Value: "emit z"},
	)
	headers := []tidewheeltest.Header{{Name: "why", Value: []byte("told")}}
	want := []tidewheeltest.Emitted{
		{Key: "a", EventTime: 7, Value: []byte("x")},
		{Key: "a", EventTime: 9, Value: []byte("z")},
		{Output: 1, Key: "other", EventTime: 8, Value: []byte("y"), Headers: headers},
	}
	if got := h.Records(); !reflect.DeepEqual(got, want) {
		t.Errorf("emitted %v", got)
	}
}

func TestAnInstanceForgets(t *testing.T) {
	h := tidewheeltest.Keyed(t, &ledger{})
	h.Send("a", 0, "calls")
	h.Send("a", 0, "calls")
	h.Wants("1", "1")
	reused := tidewheeltest.Keyed(t, &ledger{}, tidewheeltest.ReuseInstance())
	reused.Send("a", 0, "calls")
	reused.Send("a", 0, "calls")
	reused.Wants("1", "2")
}

// forgetful keeps a number for a second.
type forgetful struct {
	Number tidewheel.Value[string] `state:"number" ttl:"1s"`
}

func (f *forgetful) Process(record tidewheel.Record[string], ctx tidewheel.Context[string]) error {
	ctx.Emit(f.Number.GetOr("nothing"))
	return f.Number.Set(record.Value)
}

func TestAValueExpires(t *testing.T) {
	h := tidewheeltest.Keyed(t, &forgetful{})
	h.Send("a", 0, "one")
	h.AdvanceNow(999)
	h.Send("a", 0, "two")
	h.AdvanceNow(1999)
	h.Send("a", 0, "three")
	h.Wants("nothing", "one", "nothing")
}

type dollars struct {
	Total tidewheel.Value[uint64] `state:"total" format:"postcard"`
}

func (d *dollars) Process(record tidewheel.Record[string], _ tidewheel.Context[string]) error {
	return d.Total.Set(d.Total.GetOr(0) + uint64(len(record.Value)))
}

type cents struct {
	Total tidewheel.Value[amount] `state:"total" format:"postcard" version:"3"`
}

type amount struct {
	Cents int64
	Known bool
}

func (c *cents) Options() []tidewheel.Option {
	return []tidewheel.Option{
		tidewheel.Migrate("total", func(dollars uint64) (int64, error) { return int64(dollars) * 100, nil }),
		tidewheel.Migrate("total", func(cents int64) (amount, error) { return amount{Cents: cents}, nil }),
	}
}

func (c *cents) Process(_ tidewheel.Record[string], ctx tidewheel.Context[string]) error {
	total, _ := c.Total.Get()
	ctx.Emit(fmt.Sprint(total))
	return nil
}

func TestAnOlderVersionIsMigrated(t *testing.T) {
	first := tidewheeltest.Keyed(t, &dollars{})
	first.Send("a", 0, "12345")
	second := tidewheeltest.Keyed(t, &cents{})
	if err := second.Restore(first.Savepoint()); err != nil {
		t.Fatal(err)
	}
	tidewheeltest.Load(second, "total", "b", 2, int64(250))
	second.Send("a", 0, "")
	second.Send("b", 0, "")
	second.Wants("{500 false}", "{250 false}")
	if err := tidewheeltest.Keyed(t, &ledger{}).Restore(first.Savepoint()); err == nil {
		t.Error("a state would be dropped")
	}
	if err := first.Restore(second.Savepoint()); err == nil || !strings.Contains(err.Error(), "version 3") {
		t.Errorf("an older operator goes on from a newer one: %v", err)
	}
}

type untagged struct {
	Count tidewheel.Value[int64]
}

func (*untagged) Process(tidewheel.Record[string], tidewheel.Context[string]) error { return nil }

type wrong struct {
	Count int64 `state:"count"`
}

func (*wrong) Process(tidewheel.Record[string], tidewheel.Context[string]) error { return nil }

type misspelt struct {
	Count tidewheel.Value[int64] `state:"count" ttl:"540"`
}

func (*misspelt) Process(tidewheel.Record[string], tidewheel.Context[string]) error { return nil }

func TestAMistakeInADeclarationIsTold(t *testing.T) {
	for want, operator := range map[string]tidewheel.Processor[string, string]{
		"field Count of *tidewheel_test.untagged: give it a name: `state:\"count\"`":                                    &untagged{},
		"field Count of *tidewheel_test.wrong: its tag is state, but its type is int64":                                 &wrong{},
		"field Count of *tidewheel_test.misspelt: ttl is \"540\": expected a number and ms, s, m, h or d, such as 540d": &misspelt{},
	} {
		if _, err := tidewheel.NewKeyed(operator); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := tidewheel.NewStateless(&dollars{}); err == nil {
		t.Error("an operator that keeps nothing has state")
	}
}

func TestTimesStopAtTheEnds(t *testing.T) {
	if tidewheel.MaxTime.Add(time.Hour) != tidewheel.MaxTime || tidewheel.MinTime.Add(-time.Hour) != tidewheel.MinTime {
		t.Error("time goes on behind its end")
	}
	if tidewheel.MaxTime.Since(tidewheel.MinTime) <= 0 || tidewheel.EventTime(5).Since(7) != 0 {
		t.Error("a duration is wrong")
	}
	if date := tidewheel.EventTime(852_076_800_000).Date(); date != "1997-01-01" {
		t.Errorf("the date is %s", date)
	}
}
