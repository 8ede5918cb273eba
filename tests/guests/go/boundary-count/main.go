// A keyed counter, for the benchmark of languages: its state rides along, and every record becomes the count so far.
package main

import (
	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/keyed"
)

// Count counts the records of each key.
type Count struct {
	Count tidewheel.Value[uint64] `state:"count" format:"fixed"`
}

// Options lets the count go out as it is kept.
func (*Count) Options() []tidewheel.Option {
	return []tidewheel.Option{tidewheel.OutputFormat("fixed")}
}

// Process counts a record.
func (c *Count) Process(_ tidewheel.Record[[]byte], ctx tidewheel.Context[uint64]) error {
	count := c.Count.GetOr(0) + 1
	ctx.Emit(count)
	return c.Count.Set(count)
}

func init() { keyed.Export(&Count{}) }

func main() {}
