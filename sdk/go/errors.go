package tidewheel

import (
	"errors"
	"fmt"

	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
)

// failure is an error that is about the whole call. Any other error rejects the record at hand.
type failure struct {
	cause error
	code  uint32
}

func (f *failure) Error() string { return f.cause.Error() }
func (f *failure) Unwrap() error { return f.cause }

// Fail makes an error fail the job: nothing can be right any more, whatever the record.
//
// Any other error that an operator returns rejects the record at hand: nothing it did counts, and the job's on-error says
// what becomes of it.
func Fail(err error) error {
	if err == nil {
		return nil
	}
	return &failure{err, contract.CodeFail}
}

// RetryLater makes an error ask for the whole call to be made again later. Nothing it did so far counts.
func RetryLater(err error) error {
	if err == nil {
		return nil
	}
	return &failure{err, contract.CodeRetry}
}

// asFailure is the failure of the call that an error is; nil when it rejects a record only.
func asFailure(err error) *contract.Failure {
	var failed *failure
	if errors.As(err, &failed) {
		return &contract.Failure{Code: failed.code, Message: err.Error()}
	}
	return nil
}

// failed is the failure of a call by an error that there is no record to reject for.
func failed(err error) *contract.Failure {
	if failure := asFailure(err); failure != nil {
		return failure
	}
	return &contract.Failure{Code: contract.CodeFail, Message: err.Error()}
}

func failf(format string, arguments ...any) error {
	return Fail(fmt.Errorf(format, arguments...))
}
