package server

import "bytes"

// framing tells where in a stream of requests one header or body ends. It is
// told of bodies by the handler, which net/http calls when it has understood the
// header, so that only one thing is found out twice: that a header ends with the
// first empty line. If net/http took a header to end elsewhere, bytes would be
// held back or scrubbed that it waits for, and the connection would fail.
type framing struct {
	body int64 // bytes of the current body still to come; unbounded if it does not say
	line int   // bytes of the header's current line, without its end
	cr   bool  // the current line is a carriage return so far
}

// unbounded is a body that says itself where it ends.
const unbounded = -1

// take returns how many of the bytes, which come next, may be handed over
// together.
func (f *framing) take(b []byte) int {
	switch {
	case f.body == unbounded:
		return len(b)
	case f.body > 0:
		n := int(min(f.body, int64(len(b))))
		f.body -= int64(n)
		return n
	}
	return f.header(b)
}

// header returns how many of the bytes belong to the current header.
func (f *framing) header(b []byte) int {
	for at := 0; at < len(b); {
		end := bytes.IndexByte(b[at:], '\n')
		if end < 0 {
			f.add(b[at:])
			return len(b)
		}
		f.add(b[at : at+end])
		at += end + 1
		empty := f.line == 0 || f.cr
		f.line, f.cr = 0, false
		if empty {
			return at
		}
	}
	return len(b)
}

// add lengthens the current line.
func (f *framing) add(part []byte) {
	if len(part) > 0 {
		f.cr = f.line == 0 && len(part) == 1 && part[0] == '\r'
		f.line += len(part)
	}
}
