// The fixture asks-sdk in Go: sends the requests that a record asks for, with a | between them, all at once, and emits what
// came of each. A request is METHOD URL, then words: NAME:VALUE for headers, body=TEXT, timeout=MS, and sum for the sum of the
// numbers that the answer has as JSON. What it emits is the URL's end, the status, the headers that begin with x- and the body;
// or the kind of the error, and the message.
package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/stateless"
)

// Asks asks for what a record says.
type Asks struct{}

// request is a request, and whether the sum is asked for.
func request(text string) (request tidewheel.HTTPRequest, sums bool, err error) {
	words := strings.Split(text, " ")
	request = tidewheel.HTTPRequest{Method: words[0], URL: words[1], Header: tidewheel.HTTPHeader{}}
	for _, word := range words[2:] {
		if body, is := strings.CutPrefix(word, "body="); is {
			request.Body = []byte(body)
		} else if ms, is := strings.CutPrefix(word, "timeout="); is {
			number, err := strconv.Atoi(ms)
			if err != nil {
				return request, sums, err
			}
			request.Timeout = time.Duration(number) * time.Millisecond
		} else if name, value, is := strings.Cut(word, ":"); is {
			request.Header.Add(name, value)
		} else {
			sums = true
		}
	}
	return request, sums, nil
}

var kinds = map[tidewheel.HTTPErrorKind]string{
	tidewheel.HTTPOther: "Other", tidewheel.HTTPNotGranted: "NotGranted", tidewheel.HTTPNotARequest: "NotARequest",
	tidewheel.HTTPNotReached: "NotReached", tidewheel.HTTPTimedOut: "TimedOut", tidewheel.HTTPTooLarge: "TooLarge",
	tidewheel.HTTPStatus: "Status", tidewheel.HTTPBody: "Body",
}

func told(result tidewheel.HTTPResult, sums bool) (string, error) {
	if result.Err != nil {
		return "", result.Err
	}
	response := result.Response
	if sums {
		var numbers []uint64
		if err := response.JSON(&numbers); err != nil {
			return "", err
		}
		sum := uint64(0)
		for _, number := range numbers {
			sum += number
		}
		return fmt.Sprintf("sum %d", sum), nil
	}
	text := strconv.Itoa(response.StatusCode)
	for _, name := range slices.Sorted(maps.Keys(response.Header)) {
		for _, value := range response.Header[name] {
			if strings.HasPrefix(name, "x-") {
				text += fmt.Sprintf(" %s=%s", name, value)
			}
		}
	}
	return fmt.Sprintf("%s %s", text, response.Body), nil
}

// Process asks for what a record says.
func (Asks) Process(record tidewheel.Record[string], ctx tidewheel.Context[string]) error {
	var requests []tidewheel.HTTPRequest
	var sums []bool
	for _, text := range strings.Split(record.Value, "|") {
		request, sum, err := request(text)
		if err != nil {
			return err
		}
		requests, sums = append(requests, request), append(sums, sum)
	}
	for at, result := range tidewheel.SendAll(requests...) {
		text, err := told(result, sums[at])
		if known := (*tidewheel.HTTPError)(nil); errors.As(err, &known) {
			text = fmt.Sprintf("%s: %v", kinds[known.Kind], err)
		}
		url := requests[at].URL
		ctx.Emit(url[strings.LastIndex(url, "/")+1:] + " " + text)
	}
	return nil
}

func init() { stateless.Export(&Asks{}) }

func main() {}
