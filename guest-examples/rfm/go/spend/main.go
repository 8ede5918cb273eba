// What is bought in a window: an aggregate with one accumulator per key and window.
package main

import (
	"github.com/tidewheel/tidewheel/guest-examples/rfm/go/shop"
	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/aggregate"
)

// Spend adds the purchases of each window up.
type Spend struct{}

// Sum is purchases so far.
type Sum struct {
	Orders, CDs uint64
	Spent       shop.Cents
}

// Spent is purchases of a window.
type Spent struct {
	From   string     `json:"from"`
	Until  string     `json:"until"`
	Orders uint64     `json:"orders"`
	CDs    uint64     `json:"cds"`
	Spent  shop.Cents `json:"spent"`
}

// Options keeps the sum in the format of the other languages, so that each can go on from another.
func (*Spend) Options() []tidewheel.Option {
	return []tidewheel.Option{tidewheel.AccumulatorFormat("postcard")}
}

// Add takes a purchase in.
func (*Spend) Add(sum *Sum, purchase tidewheel.Record[shop.Purchase]) error {
	sum.Orders++
	sum.CDs += uint64(purchase.Value.NumberOfCDs)
	sum.Spent += purchase.Value.DollarValue
	return nil
}

// Merge makes one sum of two.
func (*Spend) Merge(sum *Sum, other Sum) {
	sum.Orders += other.Orders
	sum.CDs += other.CDs
	sum.Spent += other.Spent
}

// Result tells of a window that is complete.
func (*Spend) Result(window tidewheel.Window, sum Sum, ctx tidewheel.Context[Spent]) error {
	ctx.Emit(Spent{window.Start.Date(), window.End.Date(), sum.Orders, sum.CDs, sum.Spent})
	return nil
}

func init() { aggregate.Export(&Spend{}) }

func main() {}
