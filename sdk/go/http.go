package tidewheel

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
	"github.com/tidewheel/tidewheel/sdk/go/internal/host"
)

const (
	// DefaultHTTPTimeout is how long a request waits for its answer if it does not say.
	DefaultHTTPTimeout = time.Second
	// NoHTTPTimeout lets a request wait as long as the call may take, by its deadline; then the call ends, and is made again
	// later with fewer records, until in the end the job fails.
	NoHTTPTimeout time.Duration = -1
)

// HTTPRequest is a request over HTTP, to a host that the job grants the operator with grants = ["http:HOST"] in its table. It
// goes to the host of its URL and nowhere else: redirects are answers.
//
// A call of the operator waits for the answer, and its worker with it; so ask for many things at once by [SendAll], and keep in
// state what need not be asked again. A call that is made again, after a crash or in smaller batches, sends its requests again:
// send none that must not come twice. In a test [github.com/tidewheel/tidewheel/sdk/go/tidewheeltest.WithHTTP] answers.
type HTTPRequest struct {
	// Method is GET, POST and so on; GET if it is empty.
	Method string
	// URL has the scheme http or https, and no user in it.
	URL string
	// Header are its headers. Those of the connection are the host's to set.
	Header HTTPHeader
	// Body is what is sent; empty: nothing.
	Body []byte
	// Timeout is how long to wait for the whole answer, to the millisecond. 0 is [DefaultHTTPTimeout], and there is
	// [NoHTTPTimeout].
	Timeout time.Duration
}

// HTTPResponse is an answer, of whatever status.
type HTTPResponse struct {
	// StatusCode is 200, 404 and so on.
	StatusCode int
	// Header are its headers.
	Header HTTPHeader
	// Body is what was sent.
	Body []byte
}

// HTTPHeader are headers: values in order, by name in lower case.
type HTTPHeader map[string][]string

// Add adds a value to those of a name.
func (h HTTPHeader) Add(name, value string) {
	name = strings.ToLower(name)
	h[name] = append(h[name], value)
}

// Set puts a value in the place of those of a name.
func (h HTTPHeader) Set(name, value string) { h[strings.ToLower(name)] = []string{value} }

// Get is the first value of a name, in any case; empty if there is none.
func (h HTTPHeader) Get(name string) string {
	if values := h[strings.ToLower(name)]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// HTTPGet sends GET url, and waits for the answer.
func HTTPGet(url string) (*HTTPResponse, error) { return HTTPRequest{URL: url}.Send() }

// HTTPPost sends POST url with this body, and waits for the answer.
func HTTPPost(url, contentType string, body []byte) (*HTTPResponse, error) {
	header := HTTPHeader{"content-type": {contentType}}
	return HTTPRequest{Method: "POST", URL: url, Header: header, Body: body}.Send()
}

// Send sends the request, and waits for the answer. An error is a [*HTTPError].
func (r HTTPRequest) Send() (*HTTPResponse, error) {
	result := SendAll(r)[0]
	return result.Response, result.Err
}

// HTTPResult is what came of a request: an answer, or an error, which is a [*HTTPError].
type HTTPResult struct {
	Response *HTTPResponse
	Err      error
}

// SendAll sends requests, some of them at once, and waits for what comes of them, which is in order of the requests.
func SendAll(requests ...HTTPRequest) []HTTPResult {
	if len(requests) == 0 {
		return nil
	}
	sent := make([]contract.HTTPRequest, len(requests))
	for at, request := range requests {
		sent[at] = request.lowered()
	}
	results := make([]HTTPResult, len(requests))
	for at, answer := range host.SendHTTP(sent) {
		if problem := answer.Problem; problem != nil {
			results[at].Err = &HTTPError{kindOf(problem.Code), problem.Message}
			continue
		}
		results[at].Response = &HTTPResponse{int(answer.Status), contract.MapOf(answer.Headers), answer.Body}
	}
	return results
}

func (r HTTPRequest) lowered() contract.HTTPRequest {
	if r.Method == "" {
		r.Method = "GET"
	}
	if r.Timeout == 0 {
		r.Timeout = DefaultHTTPTimeout
	}
	// 0 means that there is none.
	timeoutMs := uint32(0)
	if r.Timeout > 0 {
		timeoutMs = uint32(min(max(r.Timeout.Milliseconds(), 1), math.MaxUint32))
	}
	return contract.HTTPRequest{
		Method: r.Method, URL: r.URL, Headers: contract.PairsOf(r.Header), Body: r.Body, TimeoutMs: timeoutMs,
	}
}

// IsSuccess says whether the status is one from 200 to 299.
func (r *HTTPResponse) IsSuccess() bool { return r.StatusCode >= 200 && r.StatusCode < 300 }

// Text is the body as text. It is a [*HTTPError] when it is not UTF-8, or the status is not one of success.
func (r *HTTPResponse) Text() (string, error) {
	if err := r.success(); err != nil {
		return "", err
	}
	if !utf8.Valid(r.Body) {
		return "", unreadable("it is not UTF-8")
	}
	return string(r.Body), nil
}

// JSON reads the body as JSON into what a pointer points to. It is a [*HTTPError] when it is not that, or the status is not one
// of success.
func (r *HTTPResponse) JSON(into any) error {
	if err := r.success(); err != nil {
		return err
	}
	if err := json.Unmarshal(r.Body, into); err != nil {
		return unreadable(err)
	}
	return nil
}

func (r *HTTPResponse) success() error {
	if r.IsSuccess() {
		return nil
	}
	return &HTTPError{HTTPStatus, fmt.Sprintf("answered with %d", r.StatusCode)}
}

func unreadable(why any) error {
	return &HTTPError{HTTPBody, fmt.Sprintf("the answer cannot be read: %v", why)}
}

// HTTPError is why there is no answer, or none that can be used. Returned from Process it rejects the record at hand; where the
// host may be back soon, [RetryLater] has the whole call made again.
type HTTPError struct {
	// Kind is what kind it is.
	Kind HTTPErrorKind
	// Message is the same for people.
	Message string
}

// Error is the message.
func (e *HTTPError) Error() string { return e.Message }

// HTTPErrorKind is a kind of [HTTPError].
type HTTPErrorKind uint32

// The first ones have the numbers of the contract.
const (
	// HTTPOther is anything else.
	HTTPOther HTTPErrorKind = iota
	// HTTPNotGranted says that the job does not grant the host.
	HTTPNotGranted
	// HTTPNotARequest says that the request is none that can be sent.
	HTTPNotARequest
	// HTTPNotReached says that the host was not reached, or broke off.
	HTTPNotReached
	// HTTPTimedOut says that the timeout has passed.
	HTTPTimedOut
	// HTTPTooLarge says that the body is larger than what a call may give.
	HTTPTooLarge
	// HTTPStatus says that the status is not one of success, and that it was asked for the body.
	HTTPStatus
	// HTTPBody says that the body is not what it was read as.
	HTTPBody
)

// kindOf is the kind of a code of the contract.
func kindOf(code uint32) HTTPErrorKind {
	if code > uint32(HTTPTooLarge) {
		return HTTPOther
	}
	return HTTPErrorKind(code)
}
