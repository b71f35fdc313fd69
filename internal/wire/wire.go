// Package wire is the JSON of the native API, shared by its server and its
// client, so that the two cannot drift: the bodies of requests and replies,
// their strict decoding, their encoding, and the problem documents of errors.
//
// The key idea is that a secret value never becomes a Go string. The package
// reads JSON with a scanner of its own: a field of type *secretbuf.Buffer is
// unescaped straight into wiped memory and blanked in the body, and a value is
// escaped straight into a secretbuf.Builder. Errors name a field of ours or a
// position, never what was found there, as that may be a misplaced value.
//
// Decoding is stricter than encoding/json: valid UTF-8 and no lone surrogates,
// exact field names, no field twice, no unknown fields, no null (but for
// clearing an access policy), at most 16 levels. There is one reading of a
// body or none. Start with Decode and DecodeValue in decode.go and value.go,
// Append in encode.go, and the bodies in request.go and reply.go.
package wire
