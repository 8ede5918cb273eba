// Recency, frequency and monetary value of each customer, told when the customer has stopped buying.
//
// A purchase sets a timer: when no other follows in time, the customer has lapsed. Whether one has is decided by the times
// of purchases alone, so the results are the same however far ahead of the watermark a purchase is processed.
package main

import (
	"errors"
	"time"

	"github.com/tidewheel/tidewheel/guest-examples/rfm/go/shop"
	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/keyed"
)

const day = 24 * time.Hour

// Rfm tells of customers who have lapsed, and on the side output returned of those who come back.
type Rfm struct {
	Summary  tidewheel.Value[Summary]   `state:"summary" format:"postcard"`
	Lapse    tidewheel.Timer            `timer:"lapse"`
	Returned tidewheel.Output[Returned] `output:"returned"`

	config struct {
		// LapseDays is after how many days without a purchase a customer has lapsed.
		LapseDays uint32 `json:"lapse-days"`
	}
}

// Summary is what is known of a customer.
type Summary struct {
	LastOrder tidewheel.EventTime
	Orders    uint32
	CDs       uint32
	Spent     shop.Cents
	// Told is whether it has been told that the customer lapsed after the last order.
	Told bool
}

// Report is a customer who has lapsed.
type Report struct {
	Customer  string     `json:"customer"`
	LastOrder string     `json:"last_order"`
	Orders    uint32     `json:"orders"`
	CDs       uint32     `json:"cds"`
	Spent     shop.Cents `json:"spent"`
}

// Returned is a customer who had lapsed, and buys again.
type Returned struct {
	Customer string `json:"customer"`
	Returned string `json:"returned"`
	AwayDays int    `json:"away_days"`
}

// Open reads the config.
func (r *Rfm) Open(config tidewheel.Config) error {
	if err := config.Decode(&r.config); err != nil {
		return err
	}
	if r.config.LapseDays == 0 {
		return errors.New("config needs lapse-days")
	}
	return nil
}

// Process takes a purchase in.
func (r *Rfm) Process(purchase tidewheel.Record[shop.Purchase], ctx tidewheel.Context[Report]) error {
	summary, _ := r.Summary.Get()
	if summary.Orders > 0 && purchase.EventTime > r.lapsesAt(summary) {
		// The timer has not fired yet when this purchase is ahead of the watermark.
		r.tell(&summary, ctx)
		away := purchase.EventTime.Since(summary.LastOrder)
		r.Returned.Emit(Returned{ctx.Key(), purchase.EventTime.Date(), int(away / day)})
		summary.Told = false
	}
	summary.LastOrder = max(summary.LastOrder, purchase.EventTime)
	summary.Orders++
	summary.CDs += purchase.Value.NumberOfCDs
	summary.Spent += purchase.Value.DollarValue
	r.Lapse.Replace(r.lapsesAt(summary))
	return r.Summary.Set(summary)
}

// OnTimer is called when no purchase has followed in time.
func (r *Rfm) OnTimer(_ tidewheel.EventTime, ctx tidewheel.Context[Report]) error {
	summary, known := r.Summary.Get()
	if !known {
		return nil
	}
	r.tell(&summary, ctx)
	return r.Summary.Set(summary)
}

// lapsesAt is when a customer who has not bought since has lapsed.
func (r *Rfm) lapsesAt(summary Summary) tidewheel.EventTime {
	return summary.LastOrder.Add(time.Duration(r.config.LapseDays) * day)
}

// tell tells that the customer has lapsed, unless it was told before.
func (r *Rfm) tell(summary *Summary, ctx tidewheel.Context[Report]) {
	if summary.Told {
		return
	}
	summary.Told = true
	report := Report{ctx.Key(), summary.LastOrder.Date(), summary.Orders, summary.CDs, summary.Spent}
	ctx.Emit(report, tidewheel.WithTime(r.lapsesAt(*summary)))
}

func init() { keyed.Export(&Rfm{}) }

func main() {}
