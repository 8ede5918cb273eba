package abi

// Exported is what a package of a world keeps: the one operator of the component.
type Exported[A any] struct {
	adapter A
	is      bool
}

// Set exports an operator; what is wrong with it stops the program before it begins, natively as in a component.
func (e *Exported[A]) Set(adapter A, err error) {
	switch {
	case err != nil:
		panic(err)
	case e.is:
		panic("two operators are exported, but a component has one")
	}
	e.adapter, e.is = adapter, true
}

// Get is the operator that was exported.
func (e *Exported[A]) Get() A {
	if !e.is {
		panic("no operator is exported: call Export in a function init of package main")
	}
	return e.adapter
}
