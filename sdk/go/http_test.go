package tidewheel_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/tidewheeltest"
)

// InEuros tells the rate of a currency.
type InEuros struct{}

func (InEuros) Process(currency tidewheel.Record[string], ctx tidewheel.Context[float64]) error {
	response, err := tidewheel.HTTPGet("https://rates.example.org/" + currency.Value)
	if err != nil {
		return err
	}
	var rate float64
	if err := response.JSON(&rate); err != nil {
		return err
	}
	ctx.Emit(rate)
	return nil
}

func rate(request tidewheel.HTTPRequest) (*tidewheel.HTTPResponse, error) {
	if request.URL != "https://rates.example.org/usd" {
		return &tidewheel.HTTPResponse{StatusCode: 404}, nil
	}
	return &tidewheel.HTTPResponse{StatusCode: 200, Body: []byte("0.93")}, nil
}

func ExampleHTTPGet() {
	// In a test function this is its t.
	t := &testing.T{}
	h := tidewheeltest.Stateless(t, &InEuros{}, tidewheeltest.WithHTTP(rate))
	h.SendAll(tidewheeltest.Sent[string]{Value: "usd"}, tidewheeltest.Sent[string]{Value: "doubloon"})
	fmt.Println(h.Outputs())
	for _, rejected := range h.Rejected() {
		fmt.Printf("%s: %s\n", rejected.Value, rejected.Reason)
	}
	// Output:
	// [0.93]
	// doubloon: answered with 404
}

// asks asks for what a record says, all at once, and tells what came.
type asks struct{}

func (asks) Process(record tidewheel.Record[string], ctx tidewheel.Context[string]) error {
	var requests []tidewheel.HTTPRequest
	for at, url := range strings.Fields(record.Value) {
		timeouts := []time.Duration{0, time.Microsecond, tidewheel.NoHTTPTimeout, math.MaxInt64}
		header := tidewheel.HTTPHeader{"X-Asked": {"a", "b"}, "accept": {"text/plain"}}
		requests = append(requests, tidewheel.HTTPRequest{URL: url, Header: header, Timeout: timeouts[at]})
	}
	for _, result := range tidewheel.SendAll(requests...) {
		if known := (*tidewheel.HTTPError)(nil); errors.As(result.Err, &known) {
			ctx.Emit(fmt.Sprintf("%d %v", known.Kind, result.Err))
		} else {
			ctx.Emit(fmt.Sprintf("%d %s %s", result.Response.StatusCode, result.Response.Header.Get("ETag"), result.Response.Body))
		}
	}
	return nil
}

func answer(request tidewheel.HTTPRequest) (*tidewheel.HTTPResponse, error) {
	switch request.URL {
	case "slow":
		return nil, fmt.Errorf("as it is: %w", &tidewheel.HTTPError{Kind: tidewheel.HTTPTimedOut, Message: "too slow"})
	case "broken":
		return nil, errors.New("broken")
	}
	body := fmt.Sprintf("%s %s %v %v", request.Method, request.URL, request.Header, request.Timeout)
	return &tidewheel.HTTPResponse{StatusCode: 299, Header: tidewheel.HTTPHeader{"etag": {"x", "y"}}, Body: []byte(body)}, nil
}

func TestRequestsAreAnsweredInOrder(t *testing.T) {
	h := tidewheeltest.Stateless(t, &asks{}, tidewheeltest.WithHTTP(answer))
	h.Send("", 0, "a slow b c")
	h.Send("", 0, "broken d")
	h.Send("", 0, "")
	const headers = "map[accept:[text/plain] x-asked:[a b]]"
	h.Wants(
		"299 x GET a "+headers+" 1s", "4 as it is: too slow", "299 x GET b "+headers+" -1ns",
		"299 x GET c "+headers+" 1193h2m47.295s", "0 broken", "299 x GET d "+headers+" 1ms",
	)
}

func TestWhatIsNotAnsweredIsNotGranted(t *testing.T) {
	h := tidewheeltest.Stateless(t, &asks{})
	h.Send("", 0, "a")
	h.Wants("1 the test answers no requests: give the harness WithHTTP")
	_, err := tidewheel.HTTPPost("http://example.org", "text/plain", []byte("x"))
	if known := (*tidewheel.HTTPError)(nil); !errors.As(err, &known) || known.Kind != tidewheel.HTTPNotGranted {
		t.Errorf("the error is %v", err)
	}
}

func TestABodyIsReadOfSuccessOnly(t *testing.T) {
	kind := func(err error) tidewheel.HTTPErrorKind {
		known := &tidewheel.HTTPError{}
		errors.As(err, &known)
		return known.Kind
	}
	var numbers []int
	good := &tidewheel.HTTPResponse{StatusCode: 200, Body: []byte("[1, 2]")}
	if err := good.JSON(&numbers); err != nil || len(numbers) != 2 {
		t.Errorf("read %v, %v", numbers, err)
	}
	if text, err := good.Text(); text != "[1, 2]" || err != nil {
		t.Errorf("read %q, %v", text, err)
	}
	refused := &tidewheel.HTTPResponse{StatusCode: 503, Body: []byte("[1, 2]")}
	_, err := refused.Text()
	if kind(err) != tidewheel.HTTPStatus || kind(refused.JSON(&numbers)) != tidewheel.HTTPStatus {
		t.Errorf("the error is %v", err)
	}
	broken := &tidewheel.HTTPResponse{StatusCode: 200, Body: []byte("{\xff")}
	_, err = broken.Text()
	if kind(err) != tidewheel.HTTPBody || kind(broken.JSON(&numbers)) != tidewheel.HTTPBody {
		t.Errorf("the error is %v", err)
	}
}
