// Package contract holds the contract's shapes: what a component says of itself, and what holds for a call. They are
// those of wit/operator.wit, with its numbers.
package contract

// Call is what holds for a whole call.
type Call struct {
	// Now is processing time, in milliseconds since 1970.
	Now int64
	// Watermark is that of the last complete epoch; the least int64 before the first.
	Watermark int64
	// Seed is where random numbers of this call begin.
	Seed uint64
}

// Failure is a call that failed as a whole.
type Failure struct {
	// Code says what the host is to do: [CodeFail] or [CodeRetry].
	Code uint32
	// Message says why, for people.
	Message string
}

// Error is the message.
func (f *Failure) Error() string { return f.Message }

const (
	// CodeFail lets the job fail.
	CodeFail = 1
	// CodeRetry lets the batch be tried again later.
	CodeRetry = 2
)

// StateKind is how a state keeps its entries, per key.
type StateKind uint8

const (
	// StateValue is one value.
	StateValue StateKind = iota
	// StateList is elements in the order they were appended.
	StateList
	// StateMap is entries in the order of their keys as bytes.
	StateMap
	// StateAggregating is the accumulator of world aggregate.
	StateAggregating
)

// Clock is what a timer follows.
type Clock uint8

const (
	// ClockEvent is the watermark.
	ClockEvent Clock = iota
	// ClockProcessing is the worker's clock.
	ClockProcessing
)

// Pair is a word of the contract that only some say, and its value.
type Pair struct{ Name, Value string }

// State is the contract of a state.
type State struct {
	Name    string
	Kind    StateKind
	Format  string
	Schema  string
	Version uint32
	Oldest  uint32
	Rides   bool
	TTLMs   uint64
	Options []Pair
}

// Port is an input or an output.
type Port struct{ Name, Format, Schema string }

// Timer is a timer; its slot is its place in the list.
type Timer struct {
	Name  string
	Clock Clock
}

// Description is what a component says of itself.
type Description struct {
	Name    string
	Version string
	SDK     string
	Inputs  []Port
	Outputs []Port
	States  []State
	Timers  []Timer
	Options []Pair
}

// Level is how much a log line matters.
type Level uint8

const (
	// LevelError says that something is wrong.
	LevelError Level = iota
	// LevelWarn says that something may be wrong.
	LevelWarn
	// LevelInfo is good to know.
	LevelInfo
	// LevelDebug is for finding a fault.
	LevelDebug
	// LevelTrace is every step.
	LevelTrace
)

// MetricKind is what a metric is of.
type MetricKind uint8

const (
	// MetricCounter is a sum that grows.
	MetricCounter MetricKind = iota
	// MetricGauge is a value that goes up and down.
	MetricGauge
	// MetricHistogram is a distribution.
	MetricHistogram
)

// Values are answers of the host, in the order they were asked for.
type Values struct {
	// Ends says where each ends in Bytes; with bit 31 set there is none.
	Ends []byte
	// Bytes are the values.
	Bytes []byte
}

// Entries are entries of a map or list, in order.
type Entries struct {
	KeyEnds, Keys, ValueEnds, Values []byte
	// More says whether a limit cut it short.
	More bool
}
