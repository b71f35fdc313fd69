package secretbuf

import (
	"crypto/aes"
	"crypto/cipher"
	"reflect"
	"sync"
	"unsafe"
)

// WipeString overwrites the bytes of s with zeros, for strings that the
// standard library makes of secrets: header values, environment variables. The
// caller knows that s is on the heap (a constant lies in read-only memory and
// crashes the process) and that nobody else still wants it; a map that has s
// as key is broken afterwards. A string of one byte is left as it is: the runtime
// shares those between all that have them.
func WipeString(s string) {
	if len(s) > 1 && wipeStrings {
		Wipe(unsafe.Slice(unsafe.StringData(s), len(s)))
	}
}

// String makes a string of secret bytes, for who takes nothing else. It is on the
// heap, and whoever made it wipes it with WipeString.
func String(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	s := make([]byte, len(b))
	transfer(s, b)
	return unsafe.String(&s[0], len(s))
}

// WipeCipher overwrites the key schedule in a cipher of the standard library:
// a cipher.Block of crypto/aes or a cipher.AEAD that crypto/cipher made of one.
// An AEAD holds a copy of its Block, so both need it. The cipher must not be
// used afterwards.
//
// It reports false and does nothing when x is no such cipher, or when this
// version of Go keeps part of it in further memory.
func WipeCipher(x any) bool {
	size := cipherSizes()[reflect.TypeOf(x)]
	if size == 0 {
		return false
	}
	if !wipeCiphers {
		return true
	}
	// An interface is a type word and a data word, and the data word of a
	// pointer-shaped type is the pointer itself. Reading it this way, not by
	// reflect.ValueOf, lets the cipher stay on its caller's stack.
	p := (*[2]unsafe.Pointer)(unsafe.Pointer(&x))[1]
	if p == nil {
		return false
	}
	Wipe(unsafe.Slice((*byte)(p), size))
	return true
}

// cipherSizes tells, for each type of cipher that WipeCipher can wipe, the size
// of the memory it points to.
var cipherSizes = sync.OnceValue(func() map[reflect.Type]uintptr {
	sizes := map[reflect.Type]uintptr{}
	add := func(x any, err error) {
		if err != nil {
			return // refused in FIPS 140-only mode, so nobody can have one
		}
		if t := soleTarget(reflect.TypeOf(x)); t != nil && !hasPointers(t) {
			sizes[reflect.TypeOf(x)] = t.Size()
		}
	}
	block, err := aes.NewCipher(make([]byte, KeySize))
	add(block, err)
	plain, err := cipher.NewGCM(block)
	add(plain, err)
	random, err := cipher.NewGCMWithRandomNonce(block)
	add(random, err)
	return sizes
})

// soleTarget returns what a pointer type, or a struct type of just one
// pointer, points to; nil for other types.
func soleTarget(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Struct && t.NumField() == 1 {
		t = t.Field(0).Type
	}
	if t.Kind() != reflect.Pointer {
		return nil
	}
	return t.Elem()
}

// hasPointers reports whether values of type t refer to other memory.
func hasPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return hasPointers(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if hasPointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	default:
		return t.Kind() < reflect.Bool || t.Kind() > reflect.Complex128
	}
}
