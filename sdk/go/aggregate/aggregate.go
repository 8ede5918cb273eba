// Package aggregate makes a component of world aggregate: an operator with one accumulator per key and window. Whoever
// imports it exports one operator with it, in package main:
//
//	func init() { aggregate.Export(&Spend{}) }
//
//	func main() {}
package aggregate

import (
	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/internal/abi"
)

var exported abi.Exported[*tidewheel.Adapter]

// Export makes an operator the component's. Instances of it are copies of the one that is given.
func Export[In, Acc, Out any](operator tidewheel.Aggregator[In, Acc, Out]) {
	exported.Set(tidewheel.NewAggregate(operator))
}
