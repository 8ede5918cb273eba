// Counts words: an operator with one value of state per key.
package main

import (
	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/keyed"
)

// WordCount is how often a word has come so far.
type WordCount struct {
	Word  string `json:"word"`
	Count uint64 `json:"count"`
}

// Count emits, for every word that comes, how often it has come so far.
type Count struct {
	Count tidewheel.Value[uint64] `state:"count" format:"postcard"`
}

// Process counts a word.
func (c *Count) Process(word tidewheel.Record[string], ctx tidewheel.Context[WordCount]) error {
	count := c.Count.GetOr(0) + 1
	ctx.Emit(WordCount{word.Value, count})
	return c.Count.Set(count)
}

func init() { keyed.Export(&Count{}) }

func main() {}
