package tidewheel

import (
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
)

// sdk is what a component says it was built with.
const sdk = "go 0.1.0"

// Interfaces by which a field is known to be one that its tag says.
type (
	outputField interface {
		bindOutput(c *call, index int, format string) (contract.Port, error)
	}
	timerField interface {
		bindTimer(c *call, slot int)
	}
	metricField interface {
		define(name string)
	}
)

// declared is an operator's fields that stand for something it declares, bound to a call.
type declared struct {
	outputs []contract.Port
	timers  []contract.Timer
	// states is the contracts of fields, in the same order: those that ride first.
	states  []contract.State
	fields  []stateField
	places  []place
	steps   [][]step
	metrics []declaredMetric
}

type declaredMetric struct {
	name  string
	field metricField
}

// roles are the tags that make a field something to the host, and what the field has to be.
var roles = []struct{ tag, types string }{
	{"state", "Value, Reducing, Aggregating, List or Map"},
	{"output", "Output"},
	{"timer", "Timer"},
	{"metric", "Counter, Gauge or Histogram"},
}

// options are the tags that say more of a field, by its role.
var tagOptions = map[string][]string{
	"state":  {"format", "ttl", "ttl-clock", "ttl-refresh", "version", "rides"},
	"output": {"format"},
	"timer":  {"clock"},
}

// declare reads the fields of an operator, which is a pointer to a struct, and binds them to a call.
func declare(operator any, call *call, settings *settings) (*declared, error) {
	value := reflect.ValueOf(operator)
	if value.Kind() != reflect.Pointer || value.IsNil() || value.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("an operator is a pointer to a struct, not a %T", operator)
	}
	found := &declared{}
	for at := range value.Elem().NumField() {
		field := value.Elem().Type().Field(at)
		if err := found.add(field, value.Elem().Field(at), call, settings); err != nil {
			return nil, fmt.Errorf("field %s of %T: %w", field.Name, operator, err)
		}
	}
	for name := range settings.steps {
		if name != accumulator && !slices.ContainsFunc(found.states, func(it contract.State) bool { return it.Name == name }) {
			return nil, fmt.Errorf("%T migrates state %q, which it does not have", operator, name)
		}
	}
	found.placeStates(call)
	return found, nil
}

func (d *declared) add(field reflect.StructField, value reflect.Value, call *call, settings *settings) error {
	role, name := "", ""
	for _, each := range roles {
		if said, has := field.Tag.Lookup(each.tag); has {
			if role != "" {
				return fmt.Errorf("it has the tags %s and %s: a field is one thing", role, each.tag)
			}
			role, name = each.tag, said
		}
	}
	if role == "" {
		return refuseUntagged(field, value)
	}
	if name == "" {
		return fmt.Errorf("its tag %s gives no name: %s:\"NAME\"", role, role)
	}
	if !field.IsExported() {
		return errors.New("it has a tag for the host, so its name has to begin with a capital letter")
	}
	for _, options := range tagOptions {
		for _, option := range options {
			if _, has := field.Tag.Lookup(option); has && !slices.Contains(tagOptions[role], option) {
				return fmt.Errorf("the tag %s says nothing of a field with the tag %s", option, role)
			}
		}
	}
	pointer := value.Addr().Interface()
	wrong := fmt.Errorf("its tag is %s, but its type is %v", role, field.Type)
	switch role {
	case "state":
		if it, fits := pointer.(stateField); fits {
			return d.addState(name, it, field.Tag, settings)
		}
	case "output":
		if it, fits := pointer.(outputField); fits {
			port, err := it.bindOutput(call, len(d.outputs)+1, field.Tag.Get("format"))
			port.Name = name
			d.outputs = append(d.outputs, port)
			return err
		}
	case "timer":
		if it, fits := pointer.(timerField); fits {
			clock, err := clockOf(field.Tag.Get("clock"))
			it.bindTimer(call, len(d.timers))
			d.timers = append(d.timers, contract.Timer{Name: name, Clock: clock})
			return err
		}
	case "metric":
		if it, fits := pointer.(metricField); fits {
			d.metrics = append(d.metrics, declaredMetric{name, it})
			return nil
		}
	}
	return wrong
}

// refuseUntagged refuses a field that would be something to the host if it had its tag.
func refuseUntagged(field reflect.StructField, value reflect.Value) error {
	pointer := reflect.New(value.Type()).Interface()
	role := ""
	switch pointer.(type) {
	case stateField:
		role = "state"
	case outputField:
		role = "output"
	case timerField:
		role = "timer"
	case metricField:
		role = "metric"
	default:
		return nil
	}
	return fmt.Errorf("give it a name: `%s:\"%s\"`", role, strings.ToLower(field.Name))
}

func (d *declared) addState(name string, field stateField, tag reflect.StructTag, settings *settings) error {
	state, err := field.declare(tag.Get("format"))
	if err != nil {
		return err
	}
	state.Name, state.Version = name, 1
	if version, has := tag.Lookup("version"); has {
		number, err := strconv.ParseUint(version, 10, 32)
		if err != nil || number == 0 {
			return fmt.Errorf("version %q is no whole number from 1 up", version)
		}
		state.Version = uint32(number)
	}
	if err := stateTTL(&state, tag); err != nil {
		return err
	}
	if rides, has := tag.Lookup("rides"); has {
		wanted, err := strconv.ParseBool(rides)
		if err != nil {
			return fmt.Errorf("rides is %q: expected true or false", rides)
		}
		if wanted && !state.Rides {
			return errors.New("only a single value can ride in the batch")
		}
		state.Rides = wanted
	}
	steps := settings.steps[name]
	if state.Oldest, err = oldest(state.Version, steps); err != nil {
		return err
	}
	d.states = append(d.states, state)
	d.fields = append(d.fields, field)
	d.steps = append(d.steps, steps)
	return nil
}

// oldest is the oldest version that so many steps take.
func oldest(version uint32, steps []step) (uint32, error) {
	if int(version) <= len(steps) {
		return 0, fmt.Errorf("%d steps of migration end at version %d at least: raise its version", len(steps), len(steps)+1)
	}
	return version - uint32(len(steps)), nil
}

func stateTTL(state *contract.State, tag reflect.StructTag) error {
	if ttl, has := tag.Lookup("ttl"); has {
		milliseconds, err := durationMs(ttl)
		if err != nil {
			return err
		}
		state.TTLMs = milliseconds
	}
	for _, option := range []struct{ name, one, other string }{
		{"ttl-clock", "processing", "event"},
		{"ttl-refresh", "write", "read-write"},
	} {
		said, has := tag.Lookup(option.name)
		if !has {
			continue
		}
		if said != option.one && said != option.other {
			return fmt.Errorf("%s is %q: expected %s or %s", option.name, said, option.one, option.other)
		}
		if state.TTLMs == 0 {
			return fmt.Errorf("%s needs a time-to-live: ttl:\"540d\"", option.name)
		}
		state.Options = append(state.Options, contract.Pair{Name: option.name, Value: said})
	}
	return nil
}

// durationMs are the milliseconds of a duration such as 540d.
func durationMs(text string) (uint64, error) {
	units := []struct {
		name string
		ms   uint64
	}{{"ms", 1}, {"s", 1000}, {"m", 60_000}, {"h", 3_600_000}, {"d", 86_400_000}}
	for _, unit := range units {
		number, has := strings.CutSuffix(text, unit.name)
		if !has {
			continue
		}
		count, err := strconv.ParseUint(number, 10, 64)
		if err == nil && count > 0 && count <= (1<<63)/unit.ms {
			return count * unit.ms, nil
		}
	}
	return 0, fmt.Errorf("ttl is %q: expected a number and ms, s, m, h or d, such as 540d", text)
}

func clockOf(clock string) (contract.Clock, error) {
	switch clock {
	case "", "event":
		return contract.ClockEvent, nil
	case "processing":
		return contract.ClockProcessing, nil
	}
	return 0, fmt.Errorf("clock is %q: expected event or processing", clock)
}

// placeStates puts states that ride before those that do not, and tells each where it is.
func (d *declared) placeStates(call *call) {
	order := make([]int, 0, len(d.states))
	for _, riding := range []bool{true, false} {
		for at, state := range d.states {
			if state.Rides == riding {
				order = append(order, at)
			}
		}
	}
	d.states, d.fields, d.steps = inOrder(d.states, order), inOrder(d.fields, order), inOrder(d.steps, order)
	d.bind(call)
}

// bind tells each state where it is.
func (d *declared) bind(call *call) {
	riding := 0
	for _, state := range d.states {
		if state.Rides {
			riding++
		}
	}
	for at, field := range d.fields {
		field.bind(call, place{
			name: d.states[at].Name, state: uint32(at), rides: d.states[at].Rides,
			riding: uint32(riding), all: uint32(len(d.states)),
		})
	}
}

func inOrder[T any](items []T, order []int) []T {
	ordered := make([]T, 0, len(items))
	for _, at := range order {
		ordered = append(ordered, items[at])
	}
	return ordered
}

// described is the description of an operator with these fields.
func described[In, Out any](in *codec[In], out *codec[Out], d *declared, settings *settings) contract.Description {
	said := contract.Description{
		Name: settings.name, Version: settings.version, SDK: sdk,
		Outputs: append([]contract.Port{{Name: "main", Format: out.name, Schema: out.schema}}, d.outputs...),
		States:  d.states, Timers: d.timers,
	}
	inputs := settings.inputs
	if len(inputs) == 0 {
		inputs = []string{"main"}
	}
	for _, name := range inputs {
		said.Inputs = append(said.Inputs, contract.Port{Name: name, Format: in.name, Schema: in.schema})
	}
	if said.Name == "" {
		said.Name, said.Version = packageName()
	}
	return said
}

// packageName is the last part of the main package's path, and the version of its module.
func packageName() (name, version string) {
	built, known := debug.ReadBuildInfo()
	if !known || built.Path == "" {
		return "operator", ""
	}
	return built.Path[strings.LastIndexByte(built.Path, '/')+1:], built.Main.Version
}
