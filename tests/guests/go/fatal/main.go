// What Go's runtime cannot recover from, as a record says: "deadlock" waits for what never comes; "goroutine TEXT" panics in a
// goroutine of its own; "exit" ends the program; "panic TEXT" panics, which the SDK recovers from to tell why. Others are emitted as
// they are.
package main

import (
	"os"
	"strings"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/stateless"
)

// Fatal does what a record says.
type Fatal struct{}

// Process does what a record says.
func (Fatal) Process(record tidewheel.Record[string], ctx tidewheel.Context[string]) error {
	word, text, _ := strings.Cut(record.Value, " ")
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
	ctx.Emit(record.Value)
	return nil
}

func init() { stateless.Export(&Fatal{}) }

func main() {}
