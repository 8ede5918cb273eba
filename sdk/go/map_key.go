package tidewheel

import (
	"encoding/binary"
	"fmt"
	"reflect"
)

// MapKey is what can be a key of a [Map]: its bytes sort as its values do. A string may hold any bytes.
type MapKey interface {
	~string | ~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// keyCodec is how keys become bytes: big-endian; of signed numbers the sign is flipped, so that negative ones come first.
type keyCodec[K MapKey] struct {
	append func(to []byte, key K) []byte
	read   func(bytes []byte) (K, error)
}

func keyCodecOf[K MapKey]() keyCodec[K] {
	of := reflect.TypeFor[K]()
	if of.Kind() == reflect.String {
		return keyCodec[K]{
			append: func(to []byte, key K) []byte { return append(to, as[string](&key)...) },
			read: func(bytes []byte) (K, error) {
				text := string(bytes)
				return as[K](&text), nil
			},
		}
	}
	size := int(of.Size())
	flip := uint64(0)
	if of.Kind() >= reflect.Int && of.Kind() <= reflect.Int64 {
		flip = 1 << (8*size - 1)
	}
	return keyCodec[K]{
		append: func(to []byte, key K) []byte {
			var number [8]byte
			binary.BigEndian.PutUint64(number[:], bitsOf(&key, size)^flip)
			return append(to, number[8-size:]...)
		},
		read: func(bytes []byte) (key K, err error) {
			if len(bytes) != size {
				return key, fmt.Errorf("%d bytes, not those of %v", len(bytes), of)
			}
			var number [8]byte
			copy(number[8-size:], bytes)
			setBits(&key, size, binary.BigEndian.Uint64(number[:])^flip)
			return key, nil
		},
	}
}

// bitsOf are the bits of a number of this size.
func bitsOf[K MapKey](key *K, size int) uint64 {
	switch size {
	case 1:
		return uint64(as[uint8](key))
	case 2:
		return uint64(as[uint16](key))
	case 4:
		return uint64(as[uint32](key))
	default:
		return as[uint64](key)
	}
}

// setBits makes a number of this size of its bits.
func setBits[K MapKey](key *K, size int, bits uint64) {
	switch size {
	case 1:
		narrow := uint8(bits)
		*key = as[K](&narrow)
	case 2:
		narrow := uint16(bits)
		*key = as[K](&narrow)
	case 4:
		narrow := uint32(bits)
		*key = as[K](&narrow)
	default:
		*key = as[K](&bits)
	}
}
