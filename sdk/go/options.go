package tidewheel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Option says something of an operator that its type cannot. An operator that has any says them in a method:
//
//	func (*Total) Options() []tidewheel.Option {
//		return []tidewheel.Option{tidewheel.Migrate("total", wholeDollars)}
//	}
type Option struct{ apply func(*settings) }

// WithOptions is an operator that says something of itself.
type WithOptions interface {
	// Options is called without a call at hand; it must say the same every time.
	Options() []Option
}

// settings is what options and defaults say.
type settings struct {
	name, version             string
	inputs                    []string
	inputFormat, outputFormat string
	steps                     map[string][]step
	accumulatorFormat         string
	accumulatorVersion        uint32
	inParts                   bool
}

func settingsOf(operator any) settings {
	found := settings{steps: make(map[string][]step), accumulatorVersion: 1}
	if says, has := operator.(WithOptions); has {
		for _, option := range says.Options() {
			option.apply(&found)
		}
	}
	return found
}

// Named says the operator's name and version, for people. If nothing is said the name is that of its package.
func Named(name, version string) Option {
	return Option{func(s *settings) { s.name, s.version = name, version }}
}

// Inputs names the operator's inputs, in the order of the job file's input list, so that it has more than one.
// [Record.Input] tells by which a record came.
func Inputs(names ...string) Option {
	return Option{func(s *settings) { s.inputs = names }}
}

// InputFormat says the format of the values that come in, if it is not the one of their type: text for strings, raw for
// bytes, its own for an [Encoded], json for all others.
func InputFormat(format string) Option {
	return Option{func(s *settings) { s.inputFormat = format }}
}

// OutputFormat says the format of the values that go out on the main output, if it is not the one of their type.
func OutputFormat(format string) Option {
	return Option{func(s *settings) { s.outputFormat = format }}
}

// Migrate says how a value of a state becomes one of the next schema version. The tag version of the state says what the
// last one gives; the first one of a state reads the oldest version that is taken. Without options a state takes no older
// version. The accumulator of an [Aggregator] is the state accumulator.
func Migrate[Old, New any](state string, function func(Old) (New, error)) Option {
	return Option{func(s *settings) { s.steps[state] = append(s.steps[state], stepOf(function)) }}
}

// AccumulatorFormat says the format in which the accumulator of an [Aggregator] is kept, if it is not the one of its type.
func AccumulatorFormat(format string) Option {
	return Option{func(s *settings) { s.accumulatorFormat = format }}
}

// AccumulatorVersion says the schema version of the accumulator of an [Aggregator]; it is 1 if nothing is said.
func AccumulatorVersion(version uint32) Option {
	return Option{func(s *settings) { s.accumulatorVersion = version }}
}

// InParts lets a [WindowProcessor] take a large window a part at a time.
//
// The host hands a window of several megabytes over in parts. By default they are put together, through a state that the
// operator has for it, and have to fit into the instance's memory. With this option each part is a call of Process:
// [Context.IsFirstPart] and [Context.IsLastPart] tell where it belongs, and what one part has to know of another belongs
// in state.
func InParts() Option {
	return Option{func(s *settings) { s.inParts = true }}
}

// Config is the operator's config in the job file.
type Config struct{ text string }

// WithConfig is an operator that takes a config, or does something once for every instance. The host may replace an
// instance between any two calls, so keep it cheap. There is no key at hand. An error fails the job.
type WithConfig interface {
	Open(config Config) error
}

// Decode reads the config into a variable, as JSON. Fields that the variable does not have are an error.
func (c Config) Decode(into any) error {
	text := c.text
	if c.isEmpty() {
		text = "{}"
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("config is not as the operator wants it: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("config is not as the operator wants it: there is something behind its end")
	}
	return nil
}

// String is the config as it is written, in JSON.
func (c Config) String() string { return c.text }

func (c Config) isEmpty() bool {
	switch strings.TrimSpace(c.text) {
	case "", "null", "{}":
		return true
	}
	return false
}

// openWith opens an operator with its config.
func openWith(operator any, config Config) error {
	if opens, has := operator.(WithConfig); has {
		return opens.Open(config)
	}
	if config.isEmpty() {
		return nil
	}
	return errors.New("this operator takes no config: remove it from the job file, or give the operator a method Open")
}
