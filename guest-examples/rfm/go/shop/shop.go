// Package shop is what the operators of this example share: a purchase, and money.
package shop

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Purchase is a purchase, as a row of purchases.csv comes in. When it was made is the record's event time.
type Purchase struct {
	CustomerID  string `json:"customer_id"`
	NumberOfCDs uint32 `json:"number_of_cds"`
	DollarValue Cents  `json:"dollar_value"`
}

// Cents is an amount of money, of which sums stay exact. In JSON it is a string with two decimals, "11.77"; in state a
// number.
type Cents int64

var amount = regexp.MustCompile(`^-?[0-9]+(\.[0-9]{2})?$`)

// UnmarshalText reads an amount such as 11.77.
func (c *Cents) UnmarshalText(text []byte) error {
	if !amount.Match(text) {
		return fmt.Errorf("%q is no amount of money: expected one such as 11.77", text)
	}
	dollars, cents, hasCents := strings.Cut(string(text), ".")
	if !hasCents {
		cents = "00"
	}
	number, err := strconv.ParseInt(dollars+cents, 10, 64)
	*c = Cents(number)
	return err
}

// MarshalText writes an amount with two decimals.
func (c Cents) MarshalText() ([]byte, error) {
	sign, cents := "", uint64(c)
	if c < 0 {
		sign, cents = "-", -cents
	}
	return fmt.Appendf(nil, "%s%d.%02d", sign, cents/100, cents%100), nil
}
