package shop

import (
	"encoding/json"
	"testing"
)

func TestReadsAndShowsDecimals(t *testing.T) {
	for text, cents := range map[string]Cents{"11.77": 1177, "0.05": 5, "-3.10": -310, "-0.05": -5, "7.00": 700} {
		var read Cents
		if err := read.UnmarshalText([]byte(text)); err != nil || read != cents {
			t.Errorf("%s is read as %d, %v", text, read, err)
		}
		if shown, _ := cents.MarshalText(); string(shown) != text {
			t.Errorf("%d is shown as %s", cents, shown)
		}
	}
	for _, wrong := range []string{"", "1.5", "1.234", "a", "1,00", ".50", "--1.00", "99999999999999999999"} {
		if err := new(Cents).UnmarshalText([]byte(wrong)); err == nil {
			t.Errorf("%q is no amount of money", wrong)
		}
	}
	if written, err := json.Marshal(Cents(150)); err != nil || string(written) != `"1.50"` {
		t.Errorf("150 is written as %s, %v", written, err)
	}
}
