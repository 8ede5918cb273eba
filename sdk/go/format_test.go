package tidewheel_test

import (
	"bytes"
	"math"
	"reflect"
	"sort"
	"strings"
	"testing"
	"testing/quick"

	tidewheel "github.com/tidewheel/tidewheel/sdk/go"
)

type shapes struct {
	Bool    bool
	I8      int8
	I16     int16
	I64     int64
	U8      uint8
	U32     uint32
	F32     float32
	F64     float64
	Text    string
	Maybe   *int64
	Numbers []uint16
	Pair    [2]bool
	Counts  map[string]int32
	Inner   struct{ Deep []string }
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, format := range []string{"json", "postcard"} {
		law := func(value shapes) bool {
			value.F32, value.F64 = 1.5, -2.25
			value.Text = strings.ToValidUTF8(value.Text, "?")
			value.Counts = map[string]int32{"a": value.Counts["a"], "b": 7}
			for at := range value.Inner.Deep {
				value.Inner.Deep[at] = "deep"
			}
			written, err := tidewheel.Encode(format, value)
			if err != nil {
				return false
			}
			read, err := tidewheel.Decode[shapes](format, written)
			again, _ := tidewheel.Encode(format, read)
			return err == nil && bytes.Equal(written, again) && reflect.DeepEqual(read.Maybe, value.Maybe) && read.I64 == value.I64
		}
		if err := quick.Check(law, nil); err != nil {
			t.Errorf("%s: %v", format, err)
		}
	}
}

// What the crate postcard writes of the same values.
func TestPostcardIsThatOfTheOtherLanguages(t *testing.T) {
	number := int64(-1)
	checks := []struct {
		value any
		want  []byte
	}{
		{uint64(300), []byte{0xac, 0x02}},
		{int64(-3), []byte{0x05}},
		{int8(-3), []byte{0xfd}},
		{true, []byte{1}},
		{"añ", []byte{3, 'a', 0xc3, 0xb1}},
		{&number, []byte{1, 1}},
		{(*int64)(nil), []byte{0}},
		{[]uint32{1, 128}, []byte{2, 1, 0x80, 1}},
		{[2]uint8{7, 200}, []byte{7, 200}},
		{float32(1), []byte{0, 0, 0x80, 0x3f}},
		{map[string]uint8{"b": 2, "a": 1}, []byte{2, 1, 'a', 1, 1, 'b', 2}},
		{struct {
			A uint16
			B string
		}{5, "x"}, []byte{5, 1, 'x'}},
	}
	for _, check := range checks {
		written := reflect.ValueOf(encodePostcard(t, check.value)).Bytes()
		if !bytes.Equal(written, check.want) {
			t.Errorf("%v is %x, want %x", check.value, written, check.want)
		}
	}
	if _, err := tidewheel.Decode[uint8]("postcard", []byte{1, 2}); err == nil {
		t.Error("bytes behind the end are read")
	}
	if _, err := tidewheel.Decode[string]("postcard", []byte{200, 200, 200, 200, 15, 'a'}); err == nil {
		t.Error("a text longer than its bytes is read")
	}
}

func encodePostcard(t *testing.T, value any) (written []byte) {
	t.Helper()
	var err error
	switch value := value.(type) {
	case uint64:
		written, err = tidewheel.Encode("postcard", value)
	case int64:
		written, err = tidewheel.Encode("postcard", value)
	case int8:
		written, err = tidewheel.Encode("postcard", value)
	case bool:
		written, err = tidewheel.Encode("postcard", value)
	case string:
		written, err = tidewheel.Encode("postcard", value)
	case *int64:
		written, err = tidewheel.Encode("postcard", value)
	case []uint32:
		written, err = tidewheel.Encode("postcard", value)
	case [2]uint8:
		written, err = tidewheel.Encode("postcard", value)
	case float32:
		written, err = tidewheel.Encode("postcard", value)
	case map[string]uint8:
		written, err = tidewheel.Encode("postcard", value)
	case struct {
		A uint16
		B string
	}:
		written, err = tidewheel.Encode("postcard", value)
	default:
		t.Fatalf("%T is not thought of", value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return written
}

func TestAFormatRefusesWhatItCannotHold(t *testing.T) {
	if _, err := tidewheel.Encode("json", math.NaN()); err == nil {
		t.Error("JSON has no such number")
	}
	if _, err := tidewheel.Encode("text", 5); err == nil {
		t.Error("a number is no text")
	}
	if _, err := tidewheel.Encode("postcard", func() {}); err == nil {
		t.Error("a function is no value")
	}
	if _, err := tidewheel.Decode[string]("text", []byte{0xff}); err == nil {
		t.Error("that is not UTF-8")
	}
	if _, err := tidewheel.Decode[uint32]("fixed", []byte{1, 2, 3}); err == nil {
		t.Error("three bytes are no uint32")
	}
	if _, err := tidewheel.Encode("xml", "a"); err == nil {
		t.Error("there is no such format")
	}
}

// own is a type with a format of its own.
type own struct{ text string }

func (o own) AppendBinary(to []byte) ([]byte, error) { return append(append(to, '!'), o.text...), nil }
func (o own) FormatName() string                     { return "shout" }
func (o *own) UnmarshalBinary(bytes []byte) error {
	o.text = string(bytes[1:])
	return nil
}

func TestATypeMayHaveAFormatOfItsOwn(t *testing.T) {
	for _, format := range []string{"", "shout"} {
		written, err := tidewheel.Encode(format, own{"hey"})
		if err != nil || string(written) != "!hey" {
			t.Errorf("written as %q, %v", written, err)
		}
		if read, err := tidewheel.Decode[own](format, written); err != nil || read.text != "hey" {
			t.Errorf("read as %v, %v", read, err)
		}
	}
}

func TestMapKeysSortAsTheirValues(t *testing.T) {
	law := func(numbers []int16) bool {
		var texts []string
		for _, number := range numbers {
			flipped := uint16(number) ^ 0x8000
			texts = append(texts, string([]byte{byte(flipped >> 8), byte(flipped)}))
		}
		sort.Strings(texts)
		previous := int16(math.MinInt16)
		for _, text := range texts {
			number, err := tidewheel.DecodeKey[int16]([]byte(text))
			if err != nil || number < previous {
				return false
			}
			previous = number
		}
		return true
	}
	if err := quick.Check(law, nil); err != nil {
		t.Error(err)
	}
	if _, err := tidewheel.DecodeKey[int16]([]byte{1}); err == nil {
		t.Error("one byte is no key")
	}
}
