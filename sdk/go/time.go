package tidewheel

import (
	"math"
	"time"
)

// EventTime is a point in time, in milliseconds since 1970-01-01T00:00:00Z. Processing time comes in the same type.
type EventTime int64

const (
	// MinTime is the earliest time there is: the watermark before the first one.
	MinTime EventTime = math.MinInt64
	// MaxTime is the latest time there is: the watermark after the end of a bounded input.
	MaxTime EventTime = math.MaxInt64
)

// At is the event time of a [time.Time].
func At(t time.Time) EventTime { return EventTime(t.UnixMilli()) }

// Add is the time that is so much later; it stops at the ends of time.
func (t EventTime) Add(duration time.Duration) EventTime {
	sum := t + EventTime(duration.Milliseconds())
	switch {
	case duration > 0 && sum < t:
		return MaxTime
	case duration < 0 && sum > t:
		return MinTime
	}
	return sum
}

// Since is how much later this is than earlier; zero when it is not later.
func (t EventTime) Since(earlier EventTime) time.Duration {
	if t <= earlier {
		return 0
	}
	const most = math.MaxInt64 / int64(time.Millisecond)
	milliseconds := uint64(t) - uint64(earlier)
	if milliseconds > uint64(most) {
		return math.MaxInt64
	}
	return time.Duration(milliseconds) * time.Millisecond
}

// Time is this time as a [time.Time] in UTC.
func (t EventTime) Time() time.Time { return time.UnixMilli(int64(t)).UTC() }

// Date is the UTC date, as 1997-01-31.
func (t EventTime) Date() string { return t.Time().Format(time.DateOnly) }

// String is the time as in RFC 3339.
func (t EventTime) String() string { return t.Time().Format("2006-01-02T15:04:05.000Z") }
