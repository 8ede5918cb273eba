package contract

import (
	"maps"
	"slices"
	"strings"
)

// HTTPRequest is a request over HTTP.
type HTTPRequest struct {
	Method  string
	URL     string
	Headers []Pair
	Body    []byte
	// TimeoutMs is how long to wait for the answer; 0: as long as the call may take.
	TimeoutMs uint32
}

// HTTPAnswer is what came of a request.
type HTTPAnswer struct {
	Status  uint16
	Headers []Pair
	Body    []byte
	// Problem is why there is no answer; nil if there is one.
	Problem *HTTPProblem
}

// HTTPProblem is why there is no answer.
type HTTPProblem struct {
	Code    uint32
	Message string
}

// CodeNotGranted says that the job does not grant the host.
const CodeNotGranted = 1

// PairsOf are headers by their names, in lower case and in order, so that the same ones are always sent alike.
func PairsOf(headers map[string][]string) (pairs []Pair) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		for _, value := range headers[name] {
			pairs = append(pairs, Pair{strings.ToLower(name), value})
		}
	}
	return pairs
}

// MapOf are the same by name.
func MapOf(pairs []Pair) map[string][]string {
	headers := make(map[string][]string, len(pairs))
	for _, pair := range pairs {
		name := strings.ToLower(pair.Name)
		headers[name] = append(headers[name], pair.Value)
	}
	return headers
}
