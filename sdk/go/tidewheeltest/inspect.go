package tidewheeltest

import (
	"fmt"
	"maps"
	"slices"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
)

// state is the number of a state of this name.
func (c *core) state(name string) uint32 {
	c.t.Helper()
	for at, state := range c.said.States {
		if state.Name == name {
			return uint32(at)
		}
	}
	c.t.Fatalf("there is no state %q", name)
	return 0
}

// read reads something that is stored.
func read[T any](c *core, state uint32, it stored) (value T, isLive bool) {
	c.t.Helper()
	bytes := c.host.live(state, it)
	if bytes == nil {
		return value, false
	}
	value, err := tidewheel.Decode[T](c.said.States[state].Format, *bytes)
	if err != nil {
		c.t.Fatalf("state %s holds no such value: %v", c.said.States[state].Name, err)
	}
	return value, true
}

// Value is the value of a state of one value for a key, if it has one that has not expired. Of a [tidewheel.Aggregating] it is
// the accumulator.
func Value[T any](h Tested, state, key string) (value T, isSet bool) {
	c := h.tested()
	c.t.Helper()
	number := c.state(state)
	it, isSet := c.host.values[ofKey{number, key}]
	if !isSet {
		return value, false
	}
	return read[T](c, number, it)
}

// Elements are the elements of a list for a key that have not expired.
func Elements[T any](h Tested, state, key string) (elements []T) {
	c := h.tested()
	c.t.Helper()
	number := c.state(state)
	list := c.host.lists[ofKey{number, key}]
	for _, index := range slices.Sorted(maps.Keys(list)) {
		if element, isLive := read[T](c, number, list[index]); isLive {
			elements = append(elements, element)
		}
	}
	return elements
}

// Entries are the entries of a map for a key that have not expired, in order.
func Entries[K tidewheel.MapKey, V any](h Tested, state, key string) (entries []tidewheel.Entry[K, V]) {
	c := h.tested()
	c.t.Helper()
	number := c.state(state)
	all := c.host.maps[ofKey{number, key}]
	for _, bytes := range slices.Sorted(maps.Keys(all)) {
		value, isLive := read[V](c, number, all[bytes])
		if !isLive {
			continue
		}
		key, err := tidewheel.DecodeKey[K]([]byte(bytes))
		if err != nil {
			c.t.Fatalf("state %s has no such keys: %v", state, err)
		}
		entries = append(entries, tidewheel.Entry[K, V]{Key: key, Value: value})
	}
	return entries
}

// Load puts a value there as an older version of the operator has written it, in the state's format.
func Load[T any](h Tested, state, key string, version uint32, value T) {
	c := h.tested()
	c.t.Helper()
	number := c.state(state)
	bytes, err := tidewheel.Encode(c.said.States[number].Format, value)
	if err != nil {
		c.t.Fatalf("the format of state %s cannot hold the value: %v", state, err)
	}
	it := c.host.store(number, bytes)
	it.version = version
	c.host.values[ofKey{number, key}] = it
}

// Savepoint is all that the host keeps of an operator, for a harness of another version of it to go on from.
type Savepoint struct{ of *core }

// Savepoint is all that the host keeps of the operator now.
func (c *core) Savepoint() Savepoint {
	kept := *c
	kept.host = newMemory(c.host.states, c.host.migrate)
	kept.timers, kept.accumulators, kept.waiting = nil, nil, nil
	copyOf(&kept, c)
	return Savepoint{&kept}
}

// copyOf copies what the host keeps; states have the same numbers.
func copyOf(to, from *core) {
	to.host.clocks = from.host.clocks
	to.host.values = maps.Clone(from.host.values)
	to.host.lists, to.host.maps = clones(from.host.lists), clones(from.host.maps)
	to.timers, to.waiting = clones(from.timers), maps.Clone(from.waiting)
	to.accumulators = make(map[place]*[2]*stored)
	for window, panes := range from.accumulators {
		both := *panes
		to.accumulators[window] = &both
	}
}

func clones[K, E comparable, V any](of map[K]map[E]V) map[K]map[E]V {
	copied := make(map[K]map[E]V, len(of))
	for key, entries := range of {
		copied[key] = maps.Clone(entries)
	}
	return copied
}

// Restore goes on from a savepoint, as a job does that is started from one: states are found by name. The error is that a
// state is not as the operator declares it, as the host would refuse it, or that it is not declared and would be dropped.
func (c *core) Restore(savepoint Savepoint) error {
	from := savepoint.of
	numbers := make([]uint32, len(from.said.States))
	for at, was := range from.said.States {
		number := uint32(0)
		for int(number) < len(c.said.States) && c.said.States[number].Name != was.Name {
			number++
		}
		if int(number) == len(c.said.States) {
			return fmt.Errorf("state %s is in the savepoint and would be dropped", was.Name)
		}
		is := c.said.States[number]
		switch {
		case was.Kind != is.Kind:
			return fmt.Errorf("state %s was written as another kind", was.Name)
		case was.Format != is.Format:
			return fmt.Errorf("state %s was written in format %s, but is declared with %s", was.Name, was.Format, is.Format)
		case was.Version == is.Version && was.Schema != is.Schema:
			return fmt.Errorf("state %s was written as %s, but is declared as %s", was.Name, was.Schema, is.Schema)
		case was.Version < is.Oldest || was.Version > is.Version:
			return fmt.Errorf("state %s has values of version %d, which it cannot migrate", was.Name, was.Version)
		}
		numbers[at] = number
	}
	if len(from.said.Timers) > len(c.said.Timers) {
		return fmt.Errorf("timers are in the savepoint that are not declared")
	}
	copyOf(c, from)
	c.host.values = renumbered(c.host.values, numbers)
	c.host.lists, c.host.maps = renumbered(c.host.lists, numbers), renumbered(c.host.maps, numbers)
	return nil
}

func renumbered[V any](kept map[ofKey]V, numbers []uint32) map[ofKey]V {
	moved := make(map[ofKey]V, len(kept))
	for of, it := range kept {
		moved[ofKey{numbers[of.state], of.key}] = it
	}
	return moved
}
