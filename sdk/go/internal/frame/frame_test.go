package frame

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"testing/quick"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	same := func(content map[uint8][]byte, before []byte) bool {
		var columns Columns
		for id, bytes := range content {
			columns[int(id)%Count] = bytes
		}
		columns[0] = nil
		written := Append(bytes.Clone(before), &columns)
		if !bytes.Equal(written[:len(before)], before) {
			return false
		}
		read, err := Read(written[len(before):])
		if err != nil {
			return false
		}
		for id := range columns {
			if !bytes.Equal(read[id], columns[id]) {
				return false
			}
		}
		return true
	}
	if err := quick.Check(same, nil); err != nil {
		t.Error(err)
	}
}

func TestNoBytesMakeTheReaderPanic(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	read := 0
	for range 100_000 {
		frame := make([]byte, random.IntN(60))
		for at := range frame {
			frame[at] = byte(random.Uint32())
			if random.IntN(3) > 0 {
				frame[at] = 0
			} else if random.IntN(2) > 0 {
				frame[at] %= 48
			}
		}
		if _, err := Read(frame); err == nil {
			read++
		}
	}
	if read == 0 {
		t.Error("no frame was valid, so nothing was tried")
	}
}

func TestABrokenHeaderIsNamed(t *testing.T) {
	var columns Columns
	columns[1], columns[2] = []byte("12345678"), []byte("a")
	frame := Append(nil, &columns)
	for at, message := range map[int]string{
		16: "column 1 of the frame from the host is out of order",
		20: "column 2 of the frame from the host ends out of bounds",
	} {
		broken := bytes.Clone(frame)
		broken[at] = map[int]byte{16: 1, 20: 255}[at]
		if _, err := Read(broken); err == nil || err.Error() != message {
			t.Errorf("%v, expected %q", err, message)
		}
	}
	for _, short := range [][]byte{nil, {1, 0, 0, 0, 0, 0, 0, 0}, bytes.Repeat([]byte{255}, 16)} {
		if _, err := Read(short); err != errShort {
			t.Errorf("%v: %v", short, err)
		}
	}
}

func TestCellsTellAbsentFromEmpty(t *testing.T) {
	var ends, all []byte
	model := [][]byte{[]byte("a"), nil, {}, nil, []byte("bc")}
	for _, cell := range model {
		all = append(all, cell...)
		ends = AppendCellEnd(ends, len(all), cell != nil)
	}
	for index, expected := range model {
		cell, present := Cell(ends, all, index)
		if present != (expected != nil) || !bytes.Equal(cell, expected) {
			t.Errorf("cell %d is %q, %v", index, cell, present)
		}
	}
}
