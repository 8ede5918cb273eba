// Package abi is how values of the contract lie in memory where they cross the boundary: the component model's canonical
// ABI, as far as the contract needs it. Between them lies memory that the host has written to, which the garbage
// collector must not take before it was read.
//
// It is written by hand. The generated bindings for Go need a module of their own and another package name for each
// interface, keep what the host has given until the next call, and do not pass go vet; what is needed is this page.
package abi
