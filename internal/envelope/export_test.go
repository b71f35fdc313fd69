package envelope

// Reencode parses a blob as whatever its first byte says and encodes it again;
// false means that it does not parse.
func Reencode(b []byte) ([]byte, bool) {
	if len(b) == 0 {
		return nil, false
	}
	switch f := format(b[0]); f {
	case formatEnvelope:
		e, err := parseEnvelope(b)
		return append(envelopeHeader(e.alg, e.number), e.body...), err == nil
	case formatKEK, formatKEMSeed, formatLogSeed:
		id, sealed, err := parseWrapped(b, f)
		return append(append(header(f, algAES256GCM, 0), id[:]...), sealed...), err == nil
	case formatAccessKey, formatDocument:
		number, sealed, err := parsePart(b, f)
		if err != nil {
			return nil, false
		}
		n := []byte{byte(number >> 24), byte(number >> 16), byte(number >> 8), byte(number)}
		return append(append(header(f, algAES256GCM, 0), n...), sealed...), true
	case formatValue:
		sealed, err := parseBlob(b, f)
		return append(header(f, algAES256GCM, 0), sealed...), err == nil
	}
	return nil, false
}

// HMAC is what derivation is made of, on the stack and by the module.
func HMAC(key []byte, message ...[]byte) (stack, module [32]byte) {
	hmacSHA256(&stack, key, message...)
	hmacOfModule(&module, key, message...)
	return stack, module
}

// Expand is the derivation of one key from another.
func Expand(key []byte, label, item string) (out [32]byte) {
	expand(&out, key, label, item)
	return out
}
