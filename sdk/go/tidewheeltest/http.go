package tidewheeltest

import (
	"errors"
	"time"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
)

// SendHTTP is the function that a component imports: the test answers.
func (m *memory) SendHTTP(requests []contract.HTTPRequest) (answers []contract.HTTPAnswer) {
	for _, request := range requests {
		answers = append(answers, m.answer(request))
	}
	return answers
}

func (m *memory) answer(sent contract.HTTPRequest) contract.HTTPAnswer {
	if m.http == nil {
		message := "the test answers no requests: give the harness WithHTTP"
		return contract.HTTPAnswer{Problem: &contract.HTTPProblem{Code: contract.CodeNotGranted, Message: message}}
	}
	request := tidewheel.HTTPRequest{
		Method: sent.Method, URL: sent.URL, Header: contract.MapOf(sent.Headers), Body: sent.Body,
		Timeout: time.Duration(sent.TimeoutMs) * time.Millisecond,
	}
	if sent.TimeoutMs == 0 {
		request.Timeout = tidewheel.NoHTTPTimeout
	}
	response, err := m.http(request)
	if err == nil && response == nil {
		err = errors.New("the test gives neither an answer nor an error")
	}
	if err != nil {
		problem := &contract.HTTPProblem{Message: err.Error()}
		if known := (*tidewheel.HTTPError)(nil); errors.As(err, &known) {
			problem.Code = uint32(known.Kind)
		}
		return contract.HTTPAnswer{Problem: problem}
	}
	return contract.HTTPAnswer{
		Status: uint16(response.StatusCode), Headers: contract.PairsOf(response.Header), Body: response.Body,
	}
}
