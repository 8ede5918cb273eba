// What Go's runtime cannot recover from, as a record says: "deadlock" waits for what never comes; "goroutine TEXT" panics in a
// goroutine of its own; "exit" ends the program; "panic TEXT" panics, which the SDK recovers from to tell why. Others are emitted as
// they are. It does what "do" in its config says when it is opened.
package main

import (
	"os"
	"strings"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/stateless"
)

// Fatal does what a record says.
type Fatal struct{}

// Open does what the config says.
func (Fatal) Open(config tidewheel.Config) error {
	var said struct {
		Do string `json:"do"`
	}
	err := config.Decode(&said)
	do(said.Do)
	return err
}

// Process does what a record says.
func (Fatal) Process(record tidewheel.Record[string], ctx tidewheel.Context[string]) error {
	do(record.Value)
	ctx.Emit(record.Value)
	return nil
}

func do(said string) {
	word, text, _ := strings.Cut(said, " ")
	done := make(chan struct{})
	switch word {
	case "deadlock":
		<-done
	case "goroutine":
		go func() {
			defer close(done)
			panic(text)
		}()
		<-done
	case "exit":
		os.Exit(3)
	case "panic":
		panic(text)
	}
}

func init() { stateless.Export(&Fatal{}) }

func main() {}
