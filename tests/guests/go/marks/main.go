// The fixture marks-sdk in Go: what becomes of a record its words say, from left to right. at:T sets its event time, to:KEY its
// key, mark:T makes a watermark, env:NAME makes the value what the job grants of that variable, or none; twice emits it one more
// time, drop not at all, aside on the side output; later asks to be called again, once per instance; refuse is rejected, and
// claim is as well, with a watermark that must not be. What is poison panics.
package main

import (
	"errors"
	"strconv"
	"strings"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/stateless"
)

// Marks does with a record what its words say.
type Marks struct {
	Aside tidewheel.Output[string] `output:"aside"`
}

var wasLater bool

// said is what the words of a record say.
type said struct {
	value   string
	options []tidewheel.EmitOption
	times   int
	isAside bool
	err     error
}

func (s *said) word(word string, ctx tidewheel.Context[string]) error {
	name, argument, _ := strings.Cut(word, ":")
	switch name {
	case "at", "mark":
		time, err := strconv.ParseInt(argument, 10, 64)
		if err != nil {
			return err
		}
		if name == "mark" {
			ctx.EmitWatermark(tidewheel.EventTime(time))
		} else {
			s.options = append(s.options, tidewheel.WithTime(tidewheel.EventTime(time)))
		}
	case "to":
		s.options = append(s.options, tidewheel.WithKey(argument))
	case "env":
		value, granted := tidewheel.Env(argument)
		if s.value = value; !granted {
			s.value = "none"
		}
	case "twice":
		s.times = 2
	case "drop":
		s.times = 0
	case "aside":
		s.isAside = true
	case "later":
		if !wasLater {
			wasLater = true
			return tidewheel.RetryLater(errors.New("not now"))
		}
	case "claim":
		ctx.EmitWatermark(tidewheel.MaxTime - 1)
		s.err = errors.New("refused")
	case "refuse":
		s.err = errors.New("refused")
	case "trap", "blame", "wrong", "broken":
		panic("it is poison")
	}
	return nil
}

// Process does with a record what its words say.
func (m *Marks) Process(record tidewheel.Record[string], ctx tidewheel.Context[string]) error {
	says := said{value: record.Value, times: 1}
	for _, word := range strings.Split(record.Value, " ") {
		if err := says.word(word, ctx); err != nil {
			return err
		}
	}
	for range says.times {
		if says.isAside {
			m.Aside.Emit(says.value, says.options...)
		} else {
			ctx.Emit(says.value, says.options...)
		}
	}
	return says.err
}

func init() { stateless.Export(&Marks{}) }

func main() {}
