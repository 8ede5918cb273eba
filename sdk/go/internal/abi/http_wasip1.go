package abi

import (
	"unsafe"

	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
)

// sent are requests while the host reads them. Kept here, none of their memory is on a stack, which might move, and the
// garbage collector, which does not know addresses as what they are, does not take it.
var sent struct {
	requests []contract.HTTPRequest
	words    [][]uint32
}

// Requests is where the host finds requests, until its answer was taken.
func Requests(requests []contract.HTTPRequest) unsafe.Pointer {
	sent.requests = requests
	words := make([]uint32, 0, 9*len(requests))
	for _, request := range requests {
		headers := make([]uint32, 0, 4*len(request.Headers))
		for _, header := range request.Headers {
			headers = appendText(appendText(headers, header.Name), header.Value)
		}
		sent.words = append(sent.words, headers)
		words = appendText(appendText(words, request.Method), request.URL)
		words = append(words, address(unsafe.SliceData(headers)), uint32(len(request.Headers)))
		words = append(words, address(unsafe.SliceData(request.Body)), uint32(len(request.Body)), request.TimeoutMs)
	}
	sent.words = append(sent.words, words)
	return unsafe.Pointer(unsafe.SliceData(words))
}

func appendText(words []uint32, text string) []uint32 {
	return append(words, address(unsafe.StringData(text)), uint32(len(text)))
}

// HTTPAnswers reads a list<result<response, problem>>. Each of it is a word that says which of the two, and five words for it.
func (a *Answer) HTTPAnswers() []contract.HTTPAnswer {
	sent.requests, sent.words = nil, nil
	answers := make([]contract.HTTPAnswer, a[1])
	for index, words := range unsafe.Slice((*[6]uint32)(at(a[0])), a[1]) {
		if words[0]&0xff != 0 {
			answers[index].Problem = &contract.HTTPProblem{Code: words[1], Message: textAt(words[2], words[3])}
			continue
		}
		answers[index] = contract.HTTPAnswer{
			Status: uint16(words[1]), Headers: Pairs(at(words[2]), words[3]), Body: bytesAt(words[4], words[5]),
		}
	}
	release()
	return answers
}
