package tidewheel

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"reflect"
	"unicode/utf8"
	"unsafe"
)

// Encoded is a type with a format of its own. Its pointer also has to be an [encoding.BinaryUnmarshaler]; values may keep
// parts of the bytes they are read from, which nobody changes.
type Encoded interface {
	encoding.BinaryAppender
	// FormatName is the name of the format; a state keeps it for life.
	FormatName() string
}

// codec is how values of a type become bytes, in one format.
type codec[T any] struct {
	// name is the format's, as the contract of a state or an output says it.
	name string
	// schema says what a value looks like.
	schema string
	// borrows says whether values keep parts of the bytes they are read from.
	borrows bool
	// decode reads a value from all of some bytes.
	decode func(bytes []byte) (T, error)
	// append writes a value behind other bytes; on an error these stay as they were.
	append func(to []byte, value T) ([]byte, error)
}

// codecOf is the codec of a type in a format. If none is named the type says which: text for strings, raw for bytes,
// its own for an [Encoded], json for all others.
func codecOf[T any](format string) (*codec[T], error) {
	of := reflect.TypeFor[T]()
	_, encodes := any((*T)(nil)).(Encoded)
	if format == "" {
		switch {
		case encodes:
			return encodedCodec[T]()
		case of.Kind() == reflect.String:
			format = "text"
		case of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Uint8:
			format = "raw"
		default:
			format = "json"
		}
	}
	if encodes {
		if own, err := encodedCodec[T](); err != nil || own.name == format {
			return own, err
		}
	}
	switch format {
	case "json":
		return jsonCodec[T](), nil
	case "postcard":
		return postcardCodec[T]()
	case "fixed":
		return fixedCodec[T]()
	case "text":
		if of.Kind() != reflect.String {
			return nil, fmt.Errorf("format text is for strings, not for %v", of)
		}
		return textCodec[T](), nil
	case "raw":
		if of.Kind() != reflect.Slice || of.Elem().Kind() != reflect.Uint8 {
			return nil, fmt.Errorf("format raw is for []byte, not for %v", of)
		}
		return rawCodec[T](), nil
	}
	return nil, fmt.Errorf("there is no format %q: expected json, postcard, fixed, text or raw", format)
}

// Encode writes a value in a format, as an operator writes it: for tests, and for programs that read what operators keep.
func Encode[T any](format string, value T) ([]byte, error) {
	codec, err := codecOf[T](format)
	if err != nil {
		return nil, err
	}
	return codec.append(nil, value)
}

// Decode reads a value in a format.
func Decode[T any](format string, bytes []byte) (value T, err error) {
	codec, err := codecOf[T](format)
	if err != nil {
		return value, err
	}
	return codec.decode(bytes)
}

// DecodeKey reads the key of an entry of a [Map].
func DecodeKey[K MapKey](bytes []byte) (K, error) { return keyCodecOf[K]().read(bytes) }

// notValid says that bytes are not what their format says, or that a value is not.
func notValid(format string, cause error) error {
	return fmt.Errorf("not valid %s: %w", format, cause)
}

func jsonCodec[T any]() *codec[T] {
	// What an encoder writes is what the other SDKs write: it does not escape what is special in HTML.
	var written jsonBuffer
	encoder := json.NewEncoder(&written)
	encoder.SetEscapeHTML(false)
	return &codec[T]{
		name:   "json",
		schema: schemaOf(reflect.TypeFor[T]()),
		decode: func(bytes []byte) (value T, err error) {
			if err := json.Unmarshal(bytes, &value); err != nil {
				return value, notValid("json", err)
			}
			return value, nil
		},
		append: func(to []byte, value T) ([]byte, error) {
			written.bytes = to
			if err := encoder.Encode(&value); err != nil {
				return to, notValid("json", err)
			}
			return bytes.TrimSuffix(written.bytes, []byte("\n")), nil
		},
	}
}

// jsonBuffer lets an encoder write behind bytes that are there.
type jsonBuffer struct{ bytes []byte }

func (b *jsonBuffer) Write(bytes []byte) (int, error) {
	b.bytes = append(b.bytes, bytes...)
	return len(bytes), nil
}

var errUTF8 = errors.New("the bytes are not UTF-8")

func textCodec[T any]() *codec[T] {
	return &codec[T]{
		name:    "text",
		borrows: true,
		decode: func(bytes []byte) (value T, err error) {
			if !utf8.Valid(bytes) {
				return value, notValid("text", errUTF8)
			}
			text := view(bytes)
			return as[T](&text), nil
		},
		append: func(to []byte, value T) ([]byte, error) { return append(to, as[string](&value)...), nil },
	}
}

func rawCodec[T any]() *codec[T] {
	return &codec[T]{
		name:    "raw",
		borrows: true,
		decode:  func(bytes []byte) (T, error) { return as[T](&bytes), nil },
		append:  func(to []byte, value T) ([]byte, error) { return append(to, as[[]byte](&value)...), nil },
	}
}

// as is a value as one of another type that has the same memory, such as a string as one of a type made of it.
func as[To, From any](value *From) To { return *(*To)(unsafe.Pointer(value)) }

// fixedCodec is that of a number in little-endian bytes, all of them: the fastest format for counters in state.
func fixedCodec[T any]() (*codec[T], error) {
	of := reflect.TypeFor[T]()
	switch of.Kind() {
	case reflect.Int, reflect.Uint:
		if bits.UintSize != 64 {
			return nil, fmt.Errorf("format fixed needs a number of fixed size, such as int64, instead of %v", of)
		}
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint16, reflect.Uint32,
		reflect.Uint64, reflect.Float32, reflect.Float64:
	default:
		return nil, fmt.Errorf("format fixed is for numbers, not for %v", of)
	}
	if of.Size() == 8 && isLittleEndian {
		return fixed8Codec[T](), nil
	}
	size := int(of.Size())
	return &codec[T]{
		name:   "fixed",
		schema: schemaOf(of),
		decode: func(bytes []byte) (value T, err error) {
			if len(bytes) != size {
				return value, notValid("fixed", fmt.Errorf("%d bytes are not those of the number", len(bytes)))
			}
			copyLittleEndian(unsafe.Slice((*byte)(unsafe.Pointer(&value)), size), bytes)
			return value, nil
		},
		append: func(to []byte, value T) ([]byte, error) {
			length := len(to)
			to = append(to, make([]byte, size)...)
			copyLittleEndian(to[length:], unsafe.Slice((*byte)(unsafe.Pointer(&value)), size))
			return to, nil
		},
	}, nil
}

// fixed8Codec is that of a number of eight bytes, which most are.
func fixed8Codec[T any]() *codec[T] {
	return &codec[T]{
		name:   "fixed",
		schema: schemaOf(reflect.TypeFor[T]()),
		decode: func(bytes []byte) (value T, err error) {
			if len(bytes) != 8 {
				return value, notValid("fixed", fmt.Errorf("%d bytes are not those of the number", len(bytes)))
			}
			bits := binary.LittleEndian.Uint64(bytes)
			return as[T](&bits), nil
		},
		append: func(to []byte, value T) ([]byte, error) {
			return binary.LittleEndian.AppendUint64(to, as[uint64](&value)), nil
		},
	}
}

// isLittleEndian says whether this machine keeps numbers as the format does. WebAssembly does; it is only a test that
// may run elsewhere.
var isLittleEndian = func() bool {
	word := uint16(1)
	return *(*byte)(unsafe.Pointer(&word)) == 1
}()

func copyLittleEndian(to, from []byte) {
	if isLittleEndian {
		copy(to, from)
		return
	}
	for at := range from {
		to[len(from)-1-at] = from[at]
	}
}

func encodedCodec[T any]() (*codec[T], error) {
	if _, decodes := any((*T)(nil)).(encoding.BinaryUnmarshaler); !decodes {
		of := reflect.TypeFor[T]()
		return nil, fmt.Errorf("%v has a format of its own, but *%v has no method UnmarshalBinary", of, of)
	}
	var none T
	name := any(&none).(Encoded).FormatName()
	return &codec[T]{
		name:    name,
		schema:  schemaOf(reflect.TypeFor[T]()),
		borrows: true,
		decode: func(bytes []byte) (value T, err error) {
			if err := any(&value).(encoding.BinaryUnmarshaler).UnmarshalBinary(bytes); err != nil {
				return value, notValid(name, err)
			}
			return value, nil
		},
		append: func(to []byte, value T) ([]byte, error) {
			written, err := any(&value).(Encoded).AppendBinary(to)
			if err != nil {
				return to, notValid(name, err)
			}
			return written, nil
		},
	}, nil
}

// schemaOf is a type as the other SDKs call it: a state goes from one language to another only if both say the same of
// it. The name of a type of one's own is what counts; where it is, and what of, is not part of it.
func schemaOf(of reflect.Type) string {
	if of.Name() != "" && of.PkgPath() != "" {
		if of == reflect.TypeFor[EventTime]() {
			return "EventTime"
		}
		return genericName(of.Name())
	}
	switch of.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int64:
		return "i64"
	case reflect.Uint, reflect.Uint64:
		return "u64"
	case reflect.Int8, reflect.Int16, reflect.Int32:
		return "i" + of.Name()[len("int"):]
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return "u" + of.Name()[len("uint"):]
	case reflect.Float32:
		return "f32"
	case reflect.Float64:
		return "f64"
	case reflect.String:
		return "String"
	case reflect.Pointer:
		return "Option<" + schemaOf(of.Elem()) + ">"
	case reflect.Slice:
		return "Vec<" + schemaOf(of.Elem()) + ">"
	case reflect.Array:
		return fmt.Sprintf("[%s; %d]", schemaOf(of.Elem()), of.Len())
	case reflect.Map:
		return "BTreeMap<" + schemaOf(of.Key()) + ", " + schemaOf(of.Elem()) + ">"
	}
	return of.String()
}

// genericName is the name of a type of one's own, without the packages of its parameters.
func genericName(name string) string {
	var short []byte
	start := 0
	for at := 0; at < len(name); at++ {
		switch name[at] {
		case '/', '.':
			short = short[:start]
		case '[', ']', ',':
			short = append(short, name[at])
			start = len(short)
		default:
			short = append(short, name[at])
		}
	}
	return string(short)
}
