// Package stateless makes a component of world stateless: an operator that keeps nothing. Whoever imports it exports one
// operator with it, in package main:
//
//	func init() { stateless.Export(&Split{}) }
//
//	func main() {}
package stateless

import (
	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/internal/abi"
)

var exported abi.Exported[*tidewheel.Adapter]

// Export makes an operator the component's. Instances of it are copies of the one that is given.
func Export[In, Out any](operator tidewheel.Processor[In, Out]) {
	exported.Set(tidewheel.NewStateless(operator))
}
