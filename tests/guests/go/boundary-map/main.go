// A map, for the benchmark of languages: every record's value with its first byte changed.
package main

import (
	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/stateless"
)

// Map changes the first byte. What it emits is copied, so it needs one value only.
type Map struct{ changed []byte }

// Process changes the first byte of a value.
func (m *Map) Process(value tidewheel.Record[[]byte], ctx tidewheel.Context[[]byte]) error {
	m.changed = append(m.changed[:0], value.Value...)
	if len(m.changed) > 0 {
		m.changed[0] ^= 1
	}
	ctx.Emit(m.changed)
	return nil
}

func init() { stateless.Export(&Map{}) }

func main() {}
