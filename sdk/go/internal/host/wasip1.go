//go:build wasip1

package host

import (
	"os"
	"unsafe"

	"github.com/tidewheel/tidewheel/sdk/go/internal/abi"
	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
)

//go:wasmimport tidewheel:operator/log@0.1.0 write
func logWrite(level uint32, hasRecord uint32, record uint32, message string)

//go:wasmimport tidewheel:operator/log@0.1.0 blame
func logBlame(record uint32, message string)

//go:wasmimport tidewheel:operator/metrics@0.1.0 define
func metricsDefine(name string, kind uint32) uint32

//go:wasmimport tidewheel:operator/metrics@0.1.0 update
func metricsUpdate(metric uint32, value float64)

//go:wasmimport tidewheel:operator/http@0.1.0 send
func httpSend(requests unsafe.Pointer, requestsLen uint32, answer unsafe.Pointer)

//go:wasmimport tidewheel:operator/state@0.1.0 get
func stateGet(state uint32, groups unsafe.Pointer, groupsLen uint32, answer unsafe.Pointer)

//go:wasmimport tidewheel:operator/state@0.1.0 list-read
func stateListRead(state, group uint32, start uint64, limit uint32, answer unsafe.Pointer)

//go:wasmimport tidewheel:operator/state@0.1.0 map-get
func stateMapGet(
	state uint32, groups unsafe.Pointer, groupsLen uint32, keyEnds unsafe.Pointer, keyEndsLen uint32,
	keys unsafe.Pointer, keysLen uint32, answer unsafe.Pointer,
)

//go:wasmimport tidewheel:operator/state@0.1.0 map-scan
func stateMapScan(
	state, group uint32, start unsafe.Pointer, startLen uint32, after, backwards bool, limit uint32,
	answer unsafe.Pointer,
)

//go:wasmimport tidewheel:operator/state@0.1.0 map-write
func stateMapWrite(
	state uint32, groups unsafe.Pointer, groupsLen uint32, keyEnds unsafe.Pointer, keyEndsLen uint32,
	keys unsafe.Pointer, keysLen uint32, valueEnds unsafe.Pointer, valueEndsLen uint32,
	values unsafe.Pointer, valuesLen uint32,
)

//go:wasmimport tidewheel:operator/state@0.1.0 mark
func stateMark() uint32

//go:wasmimport tidewheel:operator/state@0.1.0 revert
func stateRevert(mark uint32)

//go:wasmimport wasi_snapshot_preview1 tidewheel_begin_call
func adapterBeginCall(nowMs int64, seed uint64)

//go:wasmimport wasi_snapshot_preview1 tidewheel_line_buffer
func adapterLineBuffer(buffer unsafe.Pointer, length uint32)

//go:wasmimport wasi_snapshot_preview1 tidewheel_end
func adapterEnd(record unsafe.Pointer, reason string)

// lines is where the adapter gathers what is written to standard output and standard error until the line ends: Go's
// runtime says why it gives up in pieces of a few bytes.
var lines [4096]byte

func init() {
	adapterLineBuffer(unsafe.Pointer(&lines), uint32(len(lines)))
}

// NoteRecord tells where the index of the record at hand is kept, below 0 none: the one to blame when Go's runtime gives up, for
// what cannot be recovered from (a deadlock, a panic in a goroutine of the operator's own), or when the program ends.
func NoteRecord(record *int) {
	adapterEnd(unsafe.Pointer(record), "the program has ended: an operator does not call os.Exit")
}

// BeginCall sets what Go's own clock shows, and where its random bytes begin.
func BeginCall(call contract.Call) { adapterBeginCall(call.Now, call.Seed) }

// granted are the options of open.
var granted []contract.Pair

// Grant takes what the options of open grant.
func Grant(options []contract.Pair) { granted = options }

// Option is the value of an option of open, if it is there.
func Option(name string) (value string, has bool) {
	for _, option := range granted {
		if option.Name == name {
			return option.Value, true
		}
	}
	return "", false
}

// Log writes a line to the job's log; a record below 0 is none.
func Log(level contract.Level, record int, message string) {
	if record < 0 {
		logWrite(uint32(level), 0, 0, message)
	} else {
		logWrite(uint32(level), 1, uint32(record), message)
	}
}

// DefineMetric tells the host of a metric.
func DefineMetric(name string, kind contract.MetricKind) uint32 {
	return metricsDefine(name, uint32(kind))
}

// UpdateMetric changes a metric.
func UpdateMetric(metric uint32, value float64) { metricsUpdate(metric, value) }

// SendHTTP sends requests over HTTP, and waits for what comes of each.
func SendHTTP(requests []contract.HTTPRequest) []contract.HTTPAnswer {
	answer := abi.Begin()
	httpSend(abi.Requests(requests), uint32(len(requests)), answer.Pointer())
	return answer.HTTPAnswers()
}

// Trapped tells the host why the operator panicked, and which record was at hand, and traps.
func Trapped(record int, _ any, message string) {
	// What is told here need not be told again when the program ends.
	adapterEnd(nil, "")
	if record < 0 {
		Log(contract.LevelError, record, message)
	} else {
		logBlame(uint32(record), message)
	}
	os.Exit(2)
}

// Get reads values of a value state that does not ride.
func Get(state uint32, groups []byte) contract.Values {
	answer := abi.Begin()
	stateGet(state, abi.Pointer(groups), uint32(len(groups)), answer.Pointer())
	return answer.Values()
}

// ListRead reads elements of a list.
func ListRead(state, group uint32, start uint64, limit uint32) contract.Entries {
	answer := abi.Begin()
	stateListRead(state, group, start, limit, answer.Pointer())
	return answer.Entries()
}

// MapGet reads entries of maps.
func MapGet(state uint32, groups, keyEnds, keys []byte) contract.Values {
	answer := abi.Begin()
	stateMapGet(
		state, abi.Pointer(groups), uint32(len(groups)), abi.Pointer(keyEnds), uint32(len(keyEnds)),
		abi.Pointer(keys), uint32(len(keys)), answer.Pointer(),
	)
	return answer.Values()
}

// MapScan reads entries of a map in order.
func MapScan(state, group uint32, start []byte, after, backwards bool, limit uint32) contract.Entries {
	answer := abi.Begin()
	stateMapScan(
		state, group, abi.Pointer(start), uint32(len(start)), after, backwards, limit, answer.Pointer(),
	)
	return answer.Entries()
}

// MapWrite puts and removes entries of maps.
func MapWrite(state uint32, groups, keyEnds, keys, valueEnds, values []byte) {
	stateMapWrite(
		state, abi.Pointer(groups), uint32(len(groups)), abi.Pointer(keyEnds), uint32(len(keyEnds)),
		abi.Pointer(keys), uint32(len(keys)), abi.Pointer(valueEnds), uint32(len(valueEnds)),
		abi.Pointer(values), uint32(len(values)),
	)
}

// Mark is the position in what MapWrite wrote in this call.
func Mark() uint32 { return stateMark() }

// Revert undoes everything written after a mark.
func Revert(mark uint32) { stateRevert(mark) }
