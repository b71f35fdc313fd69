package audit

import (
	"encoding/binary"
	"errors"
)

const (
	placesFormat  = 1
	indicesFormat = 1
)

var (
	errPlaces  = errors.New("places of an audit batch are not well formed")
	errIndices = errors.New("leaf indices are not well formed")
)

// EncodePlaces encodes the places of a batch's records, the first of which has
// the leaf index first.
//
//	1  format, 1
//	   then for each record
//	v  number within the tenant's chain
//	v  leaf index minus that of the tenant's entry before it; 0 if it is the first
func EncodePlaces(first int64, places []Place) []byte {
	blob := []byte{placesFormat}
	for i, p := range places {
		blob = appendPlace(blob, first+int64(i), p)
	}
	return blob
}

func appendPlace(dst []byte, index int64, p Place) []byte {
	dst = binary.AppendUvarint(dst, p.Seq)
	if p.Prev < 0 {
		return append(dst, 0)
	}
	return binary.AppendUvarint(dst, uint64(index-p.Prev))
}

// DecodePlaces decodes the places of a batch of n records.
func DecodePlaces(blob []byte, first int64, n int) ([]Place, error) {
	c := cursor{b: blob}
	if c.byte() != placesFormat || n < 0 || n > len(blob) {
		return nil, errPlaces
	}
	places := make([]Place, n)
	for i := range places {
		index := first + int64(i)
		p := Place{Seq: c.uvarint(), Prev: -1}
		back := int64(c.uvarint())
		if back > 0 {
			p.Prev = index - back
		}
		// The first of a chain, and no other, has nothing before it.
		if p.Seq == 0 || back > index || (p.Seq == 1) != (back == 0) {
			return nil, errPlaces
		}
		places[i] = p
	}
	if !c.done() {
		return nil, errPlaces
	}
	return places, nil
}

// EncodeIndices encodes leaf indices in rising order.
//
//	1  format, 1
//	v  the first index
//	v  for each further one, its distance from the one before, at least 1
func EncodeIndices(indices []int64) []byte {
	blob := []byte{indicesFormat}
	var last int64
	for _, x := range indices {
		blob = binary.AppendUvarint(blob, uint64(x-last))
		last = x
	}
	return blob
}

// DecodeIndices decodes what EncodeIndices made.
func DecodeIndices(blob []byte) ([]int64, error) {
	c := cursor{b: blob}
	if c.byte() != indicesFormat {
		return nil, errIndices
	}
	indices := make([]int64, 0, len(c.b))
	var last int64
	for len(c.b) > 0 {
		d := int64(c.uvarint())
		if c.bad || d > 1<<62-last || d == 0 && len(indices) > 0 {
			return nil, errIndices
		}
		last += d
		indices = append(indices, last)
	}
	if c.bad {
		return nil, errIndices
	}
	return indices, nil
}
