package main

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidewheel/tidewheel/guest-examples/rfm/go/shop"
	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
	"github.com/tidewheel/tidewheel/sdk/go/tidewheeltest"
)

type harness = tidewheeltest.Harness[shop.Purchase, Report]

func rfm(t *testing.T, lapseDays int) harness {
	return tidewheeltest.Keyed(t, &Rfm{}, tidewheeltest.WithConfig(map[string]int{"lapse-days": lapseDays}))
}

func at(days int) tidewheel.EventTime { return tidewheel.EventTime(0).Add(time.Duration(days) * day) }

func buy(h harness, days int, cents shop.Cents) {
	h.Send("ann", at(days), shop.Purchase{CustomerID: "ann", NumberOfCDs: 1, DollarValue: cents})
}

func report(lastOrder string, orders uint32, cents shop.Cents) Report {
	return Report{"ann", lastOrder, orders, orders, cents}
}

func TestACustomerLapsesAfterTheLastPurchase(t *testing.T) {
	h := rfm(t, 30)
	buy(h, 0, 1000)
	buy(h, 20, 250)
	if timers := h.Timers("ann"); !slices.Equal(timers, []tidewheel.EventTime{at(50)}) {
		t.Errorf("timers are set to %v", timers)
	}
	h.AdvanceWatermark(at(49))
	h.Wants()
	h.AdvanceWatermark(at(50))
	h.Wants(report("1970-01-21", 2, 1250))
}

func TestAReturnIsToldTheSameWhetherTheTimerFiredBeforeItOrNot(t *testing.T) {
	for _, watermark := range []int{1, 60} {
		h := rfm(t, 30)
		buy(h, 0, 100)
		h.AdvanceWatermark(at(watermark))
		buy(h, 61, 100)
		returned := tidewheeltest.SideOutputs[Returned](h, "returned")
		if !slices.Equal(returned, []Returned{{"ann", "1970-03-03", 61}}) {
			t.Errorf("returned are %v", returned)
		}
		if lapsed := h.Records(); len(lapsed) != 1 || lapsed[0].EventTime != at(30) {
			t.Errorf("lapsed are %v", lapsed)
		}
		h.Finish()
		h.Wants(report("1970-03-03", 2, 200))
	}
}

func TestABrokenPurchaseIsRejected(t *testing.T) {
	h := rfm(t, 30)
	h.SendBytes("ann", 0, []byte(`{"customer_id":"ann","number_of_cds":1,"dollar_value":"1.5"}`))
	rejected := h.Rejected()
	if len(rejected) != 1 || !strings.Contains(rejected[0].Reason, `"1.5" is no amount of money`) {
		t.Errorf("rejected %v", rejected)
	}
	if _, known := tidewheeltest.Value[Summary](h, "summary", "ann"); known {
		t.Error("ann is known")
	}
}

func TestAllPurchasesGiveTheExpectedResults(t *testing.T) {
	h := rfm(t, 180)
	var purchases []tidewheeltest.Sent[shop.Purchase]
	for _, row := range lines(t, "../../purchases.csv")[1:] {
		fields := strings.Split(row, ",")
		ordered, err := time.Parse(time.RFC3339, fields[1])
		if err != nil {
			t.Fatal(err)
		}
		purchase := shop.Purchase{CustomerID: fields[0]}
		cds, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		purchase.NumberOfCDs = uint32(cds)
		if err := purchase.DollarValue.UnmarshalText([]byte(fields[3])); err != nil {
			t.Fatal(err)
		}
		purchases = append(purchases, tidewheeltest.Sent[shop.Purchase]{
			Key: fields[0], EventTime: tidewheel.At(ordered), Value: purchase,
		})
	}
	for batch := range slices.Chunk(purchases, 1000) {
		h.SendAll(batch...)
		// The watermark is late, so that some purchases are ahead of timers.
		h.AdvanceWatermark(batch[0].EventTime.Add(-2 * day))
	}
	h.Finish()
	var told []string
	for _, record := range h.Records() {
		told = append(told, string(record.Value))
	}
	slices.Sort(told)
	isOfCustomer := func(line string) bool { return !strings.HasPrefix(line, `{"customer"`) }
	expected := slices.DeleteFunc(lines(t, "../../expected.jsonl"), isOfCustomer)
	if !slices.Equal(told, expected) {
		t.Errorf("%d lines, want %d", len(told), len(expected))
	}
}

func lines(t *testing.T, name string) (lines []string) {
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		lines = append(lines, scanner.Text())
	}
	return lines
}
