// Lines of text into words: an operator that keeps nothing.
package main

import (
	"strings"
	"unicode"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/stateless"
)

// Split emits every word of a line, in lower case, with the word as the key.
type Split struct{}

// Process splits at everything that is no letter and no digit.
func (*Split) Process(line tidewheel.Record[string], ctx tidewheel.Context[string]) error {
	isBetween := func(letter rune) bool { return !unicode.IsLetter(letter) && !unicode.IsNumber(letter) }
	for word := range strings.FieldsFuncSeq(line.Value, isBetween) {
		word = strings.ToLower(word)
		ctx.Emit(word, tidewheel.WithKey(word))
	}
	return nil
}

func init() { stateless.Export(&Split{}) }

func main() {}
