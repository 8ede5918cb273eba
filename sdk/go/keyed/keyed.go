// Package keyed makes a component of world keyed: an operator with state per key, and timers. Whoever imports it exports
// one operator with it, in package main:
//
//	func init() { keyed.Export(&Count{}) }
//
//	func main() {}
package keyed

import (
	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/internal/abi"
)

var exported abi.Exported[*tidewheel.Adapter]

// Export makes an operator the component's. Instances of it are copies of the one that is given.
func Export[In, Out any](operator tidewheel.Processor[In, Out]) {
	exported.Set(tidewheel.NewKeyed(operator))
}

// ExportWindow makes an operator that sees windows the component's. The job file says which windows.
func ExportWindow[In, Out any](operator tidewheel.WindowProcessor[In, Out]) {
	exported.Set(tidewheel.NewWindow(operator))
}
