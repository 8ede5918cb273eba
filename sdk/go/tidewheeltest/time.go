package tidewheeltest

import (
	"cmp"
	"maps"
	"slices"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
)

// roundsMax is how often timers fire in one advance: an operator that sets one for now each time has no end.
const roundsMax = 100_000

// AdvanceWatermark moves the watermark forward: no record at or below it will come. Timers and windows that are due fire.
func (c *core) AdvanceWatermark(to tidewheel.EventTime) {
	c.t.Helper()
	c.host.clocks.advanceWatermark(int64(to))
	c.fireTimers(contract.ClockEvent, c.host.clocks.watermark)
	switch c.kind {
	case aggregate:
		c.fireAccumulators()
	case window:
		c.fireRecords()
	}
	if c.ended() {
		for _, ofKey := range c.timers {
			maps.DeleteFunc(ofKey, func(timer timer, _ bool) bool {
				return c.said.Timers[timer.slot].Clock == contract.ClockProcessing
			})
		}
	}
}

// Finish ends the input: all windows fire, and all timers of the event clock; those of the processing clock are dropped.
func (c *core) Finish() {
	c.t.Helper()
	c.AdvanceWatermark(tidewheel.MaxTime)
}

// AdvanceNow moves processing time forward. Timers of the processing clock that are due fire.
func (c *core) AdvanceNow(to tidewheel.EventTime) {
	c.t.Helper()
	c.host.clocks.now = max(c.host.clocks.now, int64(to))
	if !c.ended() {
		c.fireTimers(contract.ClockProcessing, c.host.clocks.now)
	}
}

// Timers are the times at which timers of a key are set, the earliest first.
func (c *core) Timers(key string) (times []tidewheel.EventTime) {
	for _, timer := range c.sorted(key) {
		times = append(times, tidewheel.EventTime(timer.at))
	}
	return times
}

func (c *core) sorted(key string) []timer {
	return slices.SortedFunc(maps.Keys(c.timers[key]), func(one, other timer) int {
		return cmp.Or(cmp.Compare(one.at, other.at), cmp.Compare(one.slot, other.slot))
	})
}

func (c *core) ended() bool { return c.host.clocks.watermark == int64(tidewheel.MaxTime) }

// applyTimer makes a change of a timer count: 0 set, 1 replace all, 2 delete, 3 delete all.
func (c *core) applyTimer(key string, change timerChange) {
	ofKey, has := c.timers[key]
	if !has {
		ofKey = make(map[timer]bool)
		c.timers[key] = ofKey
	}
	if change.op == 1 || change.op == 3 {
		maps.DeleteFunc(ofKey, func(timer timer, _ bool) bool { return timer.slot == change.slot })
	}
	switch change.op {
	case 0, 1:
		ofKey[timer{change.at, change.slot}] = true
	case 2:
		delete(ofKey, timer{change.at, change.slot})
	}
}

// fireTimers fires timers as the host does: in a call at most one of a key, its earliest.
func (c *core) fireTimers(clock contract.Clock, to int64) {
	c.t.Helper()
	for range roundsMax {
		var groups []group
		for _, key := range slices.Sorted(maps.Keys(c.timers)) {
			due := slices.IndexFunc(c.sorted(key), func(timer timer) bool {
				return timer.at <= to && c.said.Timers[timer.slot].Clock == clock
			})
			if due < 0 {
				continue
			}
			fires := c.sorted(key)[due]
			delete(c.timers[key], fires)
			record := incoming{key: key, time: fires.at, input: byte(fires.slot)}
			groups = append(groups, group{
				key: key, flags: wholeWindow, cells: c.cells(key, nil), records: []incoming{record},
			})
		}
		if len(groups) == 0 {
			return
		}
		c.mustCall(groups, true)
	}
	c.t.Fatalf("OnTimer sets a timer that is due at once, again and again")
}

func (c *core) mustCall(groups []group, due bool) {
	c.t.Helper()
	if err := c.call(groups, due); err != nil {
		c.t.Fatalf("the call failed: %v", err)
	}
}

// dueWindows are those whose last millisecond the watermark has reached, in order.
func dueWindows[T any](c *core, windows map[place]T) []place {
	var due []place
	for window := range windows {
		if window.end-1 <= c.host.clocks.watermark {
			due = append(due, window)
		}
	}
	slices.SortFunc(due, func(one, other place) int {
		return cmp.Or(
			cmp.Compare(one.end, other.end), cmp.Compare(one.start, other.start), cmp.Compare(one.key, other.key),
		)
	})
	return due
}

// fireRecords fires windows with all their records, each in calls of its own.
func (c *core) fireRecords() {
	c.t.Helper()
	for _, window := range dueWindows(c, c.waiting) {
		records := c.waiting[window]
		delete(c.waiting, window)
		perPart := len(records)
		if c.options.perPart > 0 {
			perPart = c.options.perPart
		}
		for first := 0; first < len(records); first += perPart {
			end := min(first+perPart, len(records))
			flags := byte(0)
			if first == 0 {
				flags |= firstPart
			}
			if end == len(records) {
				flags |= lastPart
			}
			c.mustCall([]group{{window.key, &window, flags, c.cells(window.key, nil), records[first:end]}}, false)
		}
	}
}

func (c *core) fireAccumulators() {
	c.t.Helper()
	var groups []group
	for _, window := range dueWindows(c, c.accumulators) {
		var records []incoming
		for _, pane := range c.accumulators[window] {
			if pane == nil {
				continue
			}
			if bytes := c.host.live(0, *pane); bytes != nil {
				records = append(records, incoming{key: window.key, time: window.end - 1, value: *bytes})
			}
		}
		delete(c.accumulators, window)
		if len(records) > 0 {
			groups = append(groups, group{key: window.key, window: &window, flags: wholeWindow, records: records})
		}
	}
	c.mustCall(groups, true)
}
