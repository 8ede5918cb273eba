package tidewheel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"sort"
	"unicode/utf8"
)

// postcardCodec is the codec of the format postcard: compact, without field names, so a changed type needs a new schema
// version. Fields are written in the order in which the struct has them; a pointer is an optional value.
func postcardCodec[T any]() (*codec[T], error) {
	of := reflect.TypeFor[T]()
	if err := postcardHolds(of, nil); err != nil {
		return nil, err
	}
	if of.Kind() == reflect.Uint64 {
		return countCodec[T](), nil
	}
	return &codec[T]{
		name:   "postcard",
		schema: schemaOf(of),
		decode: func(bytes []byte) (value T, err error) {
			reader := postcardReader{bytes}
			if err := reader.read(reflect.ValueOf(&value).Elem()); err != nil {
				return value, notValid("postcard", err)
			}
			if rest := len(reader.rest); rest > 0 {
				return value, notValid("postcard", fmt.Errorf("%d bytes after the end of the value", rest))
			}
			return value, nil
		},
		append: func(to []byte, value T) ([]byte, error) {
			return appendPostcard(to, reflect.ValueOf(&value).Elem()), nil
		},
	}, nil
}

// countCodec is that of a uint64, of which most counters are: without reflection.
func countCodec[T any]() *codec[T] {
	return &codec[T]{
		name:   "postcard",
		schema: schemaOf(reflect.TypeFor[T]()),
		decode: func(bytes []byte) (value T, err error) {
			reader := postcardReader{bytes}
			number, err := reader.uvarint()
			if err == nil && len(reader.rest) > 0 {
				err = fmt.Errorf("%d bytes after the end of the value", len(reader.rest))
			}
			if err != nil {
				return value, notValid("postcard", err)
			}
			return as[T](&number), nil
		},
		append: func(to []byte, value T) ([]byte, error) { return binary.AppendUvarint(to, as[uint64](&value)), nil },
	}
}

// postcardHolds refuses types that the format cannot hold; within are the structs they are in.
func postcardHolds(of reflect.Type, within []reflect.Type) error {
	for _, outer := range within {
		if outer == of {
			return nil
		}
	}
	switch of.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint,
		reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64, reflect.String:
		return nil
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return postcardHolds(of.Elem(), within)
	case reflect.Map:
		return errors.Join(postcardHolds(of.Key(), within), postcardHolds(of.Elem(), within))
	case reflect.Struct:
		within = append(within, of)
		for at := range of.NumField() {
			field := of.Field(at)
			if !field.IsExported() {
				return fmt.Errorf("format postcard cannot hold %v: its field %s is not exported", of, field.Name)
			}
			if err := postcardHolds(field.Type, within); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("format postcard cannot hold a %v", of)
}

func appendPostcard(to []byte, value reflect.Value) []byte {
	switch value.Kind() {
	case reflect.Bool:
		if value.Bool() {
			return append(to, 1)
		}
		return append(to, 0)
	case reflect.Int8:
		return append(to, byte(value.Int()))
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		return binary.AppendVarint(to, value.Int())
	case reflect.Uint8:
		return append(to, byte(value.Uint()))
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return binary.AppendUvarint(to, value.Uint())
	case reflect.Float32:
		return binary.LittleEndian.AppendUint32(to, math.Float32bits(float32(value.Float())))
	case reflect.Float64:
		return binary.LittleEndian.AppendUint64(to, math.Float64bits(value.Float()))
	case reflect.String:
		to = binary.AppendUvarint(to, uint64(value.Len()))
		return append(to, value.String()...)
	case reflect.Pointer:
		if value.IsNil() {
			return append(to, 0)
		}
		return appendPostcard(append(to, 1), value.Elem())
	case reflect.Slice:
		to = binary.AppendUvarint(to, uint64(value.Len()))
		fallthrough
	case reflect.Array:
		for at := range value.Len() {
			to = appendPostcard(to, value.Index(at))
		}
	case reflect.Map:
		return appendPostcardMap(to, value)
	case reflect.Struct:
		for at := range value.NumField() {
			to = appendPostcard(to, value.Field(at))
		}
	}
	return to
}

// appendPostcardMap writes entries in the order of their keys' bytes, so that equal maps are equal bytes.
func appendPostcardMap(to []byte, value reflect.Value) []byte {
	entries := make([][]byte, 0, value.Len())
	for each := value.MapRange(); each.Next(); {
		entries = append(entries, appendPostcard(appendPostcard(nil, each.Key()), each.Value()))
	}
	sort.Slice(entries, func(a, b int) bool { return string(entries[a]) < string(entries[b]) })
	to = binary.AppendUvarint(to, uint64(len(entries)))
	for _, entry := range entries {
		to = append(to, entry...)
	}
	return to
}

var (
	errShortPostcard = errors.New("the bytes end within the value")
	errBadPostcard   = errors.New("a byte that no value has")
)

type postcardReader struct{ rest []byte }

// take takes the next bytes.
func (r *postcardReader) take(length uint64) ([]byte, error) {
	if length > uint64(len(r.rest)) {
		return nil, errShortPostcard
	}
	taken := r.rest[:length]
	r.rest = r.rest[length:]
	return taken, nil
}

func (r *postcardReader) uvarint() (uint64, error) {
	number, length := binary.Uvarint(r.rest)
	if length == 0 {
		return 0, errShortPostcard
	}
	if length < 0 {
		return 0, errBadPostcard
	}
	r.rest = r.rest[length:]
	return number, nil
}

// flag takes a byte that is 0 or 1.
func (r *postcardReader) flag() (bool, error) {
	taken, err := r.take(1)
	if err != nil {
		return false, err
	}
	if taken[0] > 1 {
		return false, errBadPostcard
	}
	return taken[0] == 1, nil
}

func (r *postcardReader) read(value reflect.Value) error {
	switch value.Kind() {
	case reflect.Bool:
		flag, err := r.flag()
		value.SetBool(flag)
		return err
	case reflect.Int8, reflect.Uint8, reflect.Float32, reflect.Float64:
		return r.readPlain(value)
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		folded, err := r.uvarint()
		number := int64(folded>>1) ^ -int64(folded&1)
		if err == nil && value.OverflowInt(number) {
			err = errBadPostcard
		}
		value.SetInt(number)
		return err
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		number, err := r.uvarint()
		if err == nil && value.OverflowUint(number) {
			err = errBadPostcard
		}
		value.SetUint(number)
		return err
	case reflect.Pointer:
		present, err := r.flag()
		if err != nil || !present {
			value.SetZero()
			return err
		}
		value.Set(reflect.New(value.Type().Elem()))
		return r.read(value.Elem())
	case reflect.Array:
		return r.readItems(value)
	case reflect.Struct:
		for at := range value.NumField() {
			if err := r.read(value.Field(at)); err != nil {
				return err
			}
		}
		return nil
	default:
		return r.readCounted(value)
	}
}

// readPlain reads what has a fixed number of bytes.
func (r *postcardReader) readPlain(value reflect.Value) error {
	taken, err := r.take(uint64(value.Type().Size()))
	if err != nil {
		return err
	}
	switch value.Kind() {
	case reflect.Int8:
		value.SetInt(int64(int8(taken[0])))
	case reflect.Uint8:
		value.SetUint(uint64(taken[0]))
	case reflect.Float32:
		value.SetFloat(float64(math.Float32frombits(binary.LittleEndian.Uint32(taken))))
	case reflect.Float64:
		value.SetFloat(math.Float64frombits(binary.LittleEndian.Uint64(taken)))
	}
	return nil
}

// readCounted reads what begins with how much there is: a string, a slice or a map.
func (r *postcardReader) readCounted(value reflect.Value) error {
	count, err := r.uvarint()
	if err != nil {
		return err
	}
	if value.Kind() == reflect.String {
		taken, err := r.take(count)
		if err == nil && !utf8.Valid(taken) {
			err = errUTF8
		}
		value.SetString(string(taken))
		return err
	}
	// An item may have no bytes at all, but what claims to have more items than there are bytes is mostly broken.
	if count > uint64(len(r.rest)) && value.Type().Elem().Size() > 0 {
		return errShortPostcard
	}
	if value.Kind() == reflect.Slice {
		value.Set(reflect.MakeSlice(value.Type(), int(count), int(count)))
		return r.readItems(value)
	}
	value.Set(reflect.MakeMap(value.Type()))
	for range count {
		key, item := reflect.New(value.Type().Key()).Elem(), reflect.New(value.Type().Elem()).Elem()
		if err := r.read(key); err != nil {
			return err
		}
		if err := r.read(item); err != nil {
			return err
		}
		value.SetMapIndex(key, item)
	}
	return nil
}

func (r *postcardReader) readItems(value reflect.Value) error {
	for at := range value.Len() {
		if err := r.read(value.Index(at)); err != nil {
			return err
		}
	}
	return nil
}
