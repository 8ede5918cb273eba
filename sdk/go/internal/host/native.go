//go:build !wasip1

package host

import (
	"sync"

	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
)

// Host is what stands in for the host in a test; the functions of this package go to it.
type Host interface {
	Log(level contract.Level, record int, message string)
	DefineMetric(name string, kind contract.MetricKind) uint32
	UpdateMetric(metric uint32, value float64)
	Get(state uint32, groups []byte) contract.Values
	ListRead(state, group uint32, start uint64, limit uint32) contract.Entries
	MapGet(state uint32, groups, keyEnds, keys []byte) contract.Values
	MapScan(state, group uint32, start []byte, after, backwards bool, limit uint32) contract.Entries
	MapWrite(state uint32, groups, keyEnds, keys, valueEnds, values []byte)
	Mark() uint32
	Revert(mark uint32)
	Option(name string) (value string, has bool)
	SendHTTP(requests []contract.HTTPRequest) []contract.HTTPAnswer
}

var (
	// current is the host of the call at hand.
	current Host
	// one lets tests that run at the same time have their calls one after the other, as there is one host.
	one sync.Mutex
)

// Use makes a host that of all calls until release is called. Calls of other tests wait meanwhile.
func Use(host Host) (release func()) {
	one.Lock()
	current = host
	return func() {
		current = nil
		one.Unlock()
	}
}

// Log writes a line to the job's log; a record below 0 is none.
func Log(level contract.Level, record int, message string) { current.Log(level, record, message) }

// DefineMetric tells the host of a metric.
func DefineMetric(name string, kind contract.MetricKind) uint32 {
	return current.DefineMetric(name, kind)
}

// UpdateMetric changes a metric.
func UpdateMetric(metric uint32, value float64) { current.UpdateMetric(metric, value) }

// Get reads values of a value state that does not ride.
func Get(state uint32, groups []byte) contract.Values { return current.Get(state, groups) }

// ListRead reads elements of a list.
func ListRead(state, group uint32, start uint64, limit uint32) contract.Entries {
	return current.ListRead(state, group, start, limit)
}

// MapGet reads entries of maps.
func MapGet(state uint32, groups, keyEnds, keys []byte) contract.Values {
	return current.MapGet(state, groups, keyEnds, keys)
}

// MapScan reads entries of a map in order.
func MapScan(state, group uint32, start []byte, after, backwards bool, limit uint32) contract.Entries {
	return current.MapScan(state, group, start, after, backwards, limit)
}

// MapWrite puts and removes entries of maps.
func MapWrite(state uint32, groups, keyEnds, keys, valueEnds, values []byte) {
	current.MapWrite(state, groups, keyEnds, keys, valueEnds, values)
}

// Mark is the position in what MapWrite wrote in this call.
func Mark() uint32 { return current.Mark() }

// Revert undoes everything written after a mark.
func Revert(mark uint32) { current.Revert(mark) }

// Option is the value of an option of open, if it is there. Where there is no host nothing is granted.
func Option(name string) (value string, has bool) {
	if current == nil {
		return "", false
	}
	return current.Option(name)
}

// SendHTTP sends requests over HTTP, and waits for what comes of each. Where there is no host none is granted.
func SendHTTP(requests []contract.HTTPRequest) []contract.HTTPAnswer {
	if current != nil {
		return current.SendHTTP(requests)
	}
	answers := make([]contract.HTTPAnswer, len(requests))
	for at := range answers {
		answers[at].Problem = &contract.HTTPProblem{
			Code: contract.CodeNotGranted, Message: "no host is granted where no operator is called",
		}
	}
	return answers
}

// BeginCall does nothing: in a test, Go's own clock and random numbers are the machine's.
func BeginCall(contract.Call) {}

// NoteRecord does nothing: what ends the program ends the test.
func NoteRecord(*int) {}

// Trapped is what a panic of the operator becomes in a test: it goes on, as there is no instance to trap.
func Trapped(_ int, cause any, _ string) { panic(cause) }
