// Package host is the host's functions. In a component they are imports; natively the test harness stands in for the
// host. Everything else in this module is the same in both, so a unit test runs the code that ships.
//
// An import that a component does not call is left out of it: an operator without a map imports nothing of maps.
package host
