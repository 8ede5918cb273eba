//go:build wasip1

package abi

import (
	"encoding/binary"
	"unsafe"

	"github.com/tidewheel/tidewheel/sdk/go/internal/contract"
)

// kept is memory that was handed to the host to write to and was not taken yet.
var kept []unsafe.Pointer

// realloc gives the host memory to write arguments and answers to.
//
//go:wasmexport cabi_realloc
func realloc(_ unsafe.Pointer, _, align, size uint32) unsafe.Pointer {
	var memory unsafe.Pointer
	if align == 1 {
		memory = unsafe.Pointer(unsafe.SliceData(make([]byte, max(size, 1))))
	} else {
		memory = unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+8)/8)))
	}
	kept = append(kept, memory)
	return memory
}

// release lets go of what was kept: somebody else holds it by now, or nobody needs it.
func release() {
	clear(kept)
	kept = kept[:0]
}

// at is memory by its address.
func at(address uint32) unsafe.Pointer { return unsafe.Add(nil, address) }

// Pointer is where bytes are; of none, nowhere.
func Pointer(bytes []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(bytes)) }

// Take takes an argument of bytes.
func Take(memory unsafe.Pointer, length uint32) []byte {
	bytes := unsafe.Slice((*byte)(memory), length)
	release()
	return bytes
}

// Pairs are an argument of pairs of text. It is to be read before the last argument is taken.
func Pairs(memory unsafe.Pointer, length uint32) []contract.Pair {
	pairs := make([]contract.Pair, length)
	for index, words := range unsafe.Slice((*[4]uint32)(memory), length) {
		pairs[index] = contract.Pair{Name: textAt(words[0], words[1]), Value: textAt(words[2], words[3])}
	}
	return pairs
}

// textAt is a string that the host has written.
func textAt(address, length uint32) string { return unsafe.String((*byte)(at(address)), length) }

// bytesAt is a list<u8> that the host has written.
func bytesAt(address, length uint32) []byte {
	if length == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(at(address)), length)
}

// Answer is what the host writes the answer of an import to.
type Answer [9]uint32

// answers is the one answer there is at a time: it must not move while the host writes to it.
var answers Answer

// Begin is to be called before an import that has an answer.
func Begin() *Answer { return &answers }

// Pointer is where the host writes to.
func (a *Answer) Pointer() unsafe.Pointer { return unsafe.Pointer(a) }

// bytes is a list<u8> of the answer, whose address is word number at.
func (a *Answer) bytes(word int) []byte { return bytesAt(a[word], a[word+1]) }

// Values reads a record values.
func (a *Answer) Values() contract.Values {
	values := contract.Values{Ends: a.bytes(0), Bytes: a.bytes(2)}
	release()
	return values
}

// Entries reads a record entries.
func (a *Answer) Entries() contract.Entries {
	entries := contract.Entries{
		KeyEnds: a.bytes(0), Keys: a.bytes(2), ValueEnds: a.bytes(4), Values: a.bytes(6), More: a[8]&0xff != 0,
	}
	release()
	return entries
}

// result is the answer of an export, and what it points to. It is kept until the next export answers, by when the host
// has read it.
var result struct {
	words   [4]uint32
	frame   []byte
	message string
}

// Result writes a result<frame, failure>.
func Result(frame []byte, failure *contract.Failure) unsafe.Pointer {
	if failure != nil {
		result.message = failure.Message
		result.words = [4]uint32{1, failure.Code, address(unsafe.StringData(failure.Message)), uint32(len(failure.Message))}
	} else {
		result.frame = frame
		result.words = [4]uint32{0, address(unsafe.SliceData(frame)), uint32(len(frame)), 0}
	}
	return unsafe.Pointer(&result.words)
}

func address[T any](memory *T) uint32 { return uint32(uintptr(unsafe.Pointer(memory))) }

// description is what describe has answered; its memory is kept for the life of the instance.
var description struct {
	words [16]uint32
	said  contract.Description
	lists [][]byte
}

// Description writes a record description.
func Description(said contract.Description) unsafe.Pointer {
	description.said = said
	description.lists = nil
	var record []byte
	record = text(record, said.Name)
	record = text(record, said.Version)
	record = text(record, said.SDK)
	record = list(record, said.Inputs, port)
	record = list(record, said.Outputs, port)
	record = list(record, said.States, state)
	record = list(record, said.Timers, timer)
	record = list(record, said.Options, pair)
	for at := range description.words {
		description.words[at] = binary.LittleEndian.Uint32(record[4*at:])
	}
	return unsafe.Pointer(&description.words)
}

func word(record []byte, word uint32) []byte { return binary.LittleEndian.AppendUint32(record, word) }

func text(record []byte, text string) []byte {
	return word(word(record, address(unsafe.StringData(text))), uint32(len(text)))
}

// list writes a list: its items to memory that is kept, and where they are to the record.
func list[T any](record []byte, items []T, write func([]byte, T) []byte) []byte {
	// Aligned as the items want it: the first byte of such a slice is where 8 bytes would be.
	memory := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(make([]uint64, 7*len(items)+1)))), 56*len(items)+8)
	written := memory[:0]
	for _, item := range items {
		written = write(written, item)
	}
	description.lists = append(description.lists, memory)
	return word(word(record, address(unsafe.SliceData(memory))), uint32(len(items)))
}

func port(record []byte, port contract.Port) []byte {
	return text(text(text(record, port.Name), port.Format), port.Schema)
}

func pair(record []byte, pair contract.Pair) []byte {
	return text(text(record, pair.Name), pair.Value)
}

func timer(record []byte, timer contract.Timer) []byte {
	return word(text(record, timer.Name), uint32(timer.Clock))
}

func state(record []byte, state contract.State) []byte {
	record = text(record, state.Name)
	record = word(record, uint32(state.Kind))
	record = text(record, state.Format)
	record = text(record, state.Schema)
	record = word(record, state.Version)
	record = word(record, state.Oldest)
	rides := uint32(0)
	if state.Rides {
		rides = 1
	}
	record = word(record, rides)
	record = binary.LittleEndian.AppendUint64(record, state.TTLMs)
	return list(record, state.Options, pair)
}
