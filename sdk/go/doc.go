// Package tidewheel is for operators of Tidewheel in Go.
//
// An operator is a pointer to a struct. Its method Process is called for every record, with a value of the operator's input
// type; what it emits is of its output type. Fields with tags are what the host keeps or is told: state per key ([Value],
// [Reducing], [Aggregating], [List], [Map]), timers ([Timer]), side outputs ([Output]) and metrics ([Counter], [Gauge],
// [Histogram]). Package main exports it with one of the packages stateless, keyed and aggregate, whose names are those of the
// contract's worlds:
//
//	// Total is what each user has spent so far.
//	type Total struct {
//		Cents tidewheel.Value[uint64] `state:"cents" ttl:"540d"`
//	}
//
//	func (t *Total) Process(order tidewheel.Record[Order], ctx tidewheel.Context[uint64]) error {
//		cents := t.Cents.GetOr(0) + order.Value.Cents
//		ctx.Emit(cents)
//		return t.Cents.Set(cents)
//	}
//
//	func init() { keyed.Export(&Total{}) }
//
//	func main() {}
//
// In a plain unit test package tidewheeltest runs the same code natively.
//
// # Calls
//
// An error that Process returns rejects the record: nothing it did counts, and the job's on-error says what becomes of it. So
// does a value that is not of the input's format. [Fail] makes an error fail the job, [RetryLater] asks for the whole call to be
// made again. A panic traps; the record that was at hand is named to the host. So it is when Go's runtime gives up: for a
// deadlock, say, or a panic in another goroutine.
//
// The host may replace an instance between any two calls: a global, or a field without a tag, forgets. After a crash the host
// goes back to the last checkpoint: records since then come again, and state, timers and output are as if they had not come
// before.
//
// # Sources
//
// An operator of world stateless may be the event-time of a source: what it emits are the source's records, with the time that
// [WithTime] gives them, and [Context.EmitWatermark] says that none at or before a time will come any more.
//
// # The machine
//
// An operator sees nothing of it but what the job grants in its table, by grants: environment variables, by [Env], and hosts over
// HTTP, by [HTTPGet], [HTTPRequest] and [SendAll].
//
// # Formats
//
// What a type is says its format: a string is text, a []byte is raw, everything else is JSON, as encoding/json has it. Where
// another is wanted the tag format of a field, or [InputFormat] and its like, say so: postcard (compact, without field names;
// what the other languages keep state in), or fixed (a number in all its bytes). A type may have a format of its own, see
// [Encoded]. To go on from the state of an operator in another language, give the state the same name, format and type, and a
// type of one's own the same name.
//
// # Time
//
// Go's own clock shows the call's processing time and stands still during a call; the numbers of [Context.Rand] begin from the
// call's seed. So a call can be repeated exactly. [EventTime] is what records carry.
package tidewheel
