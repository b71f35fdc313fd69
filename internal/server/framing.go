package server

import (
	"bytes"

	"fastness/internal/secretbuf"
)

// framing tells where in a stream of requests one header or body ends, and takes
// credentials out of headers on the way. It is told of bodies by the handler,
// which net/http calls when it has understood the header, so that only one thing
// is found out twice: that a header ends with the first empty line. If net/http
// took a header to end elsewhere, bytes would be held back or scrubbed that it
// waits for, and the connection would fail.
type framing struct {
	body  int64 // bytes of the current body still to come; unbounded if it does not say
	line  int   // bytes of the header's current line, without its end
	cr    bool  // the current line is a carriage return so far
	name  int   // how much of credentialName the line begins with; below 0 if it does not
	folds bool  // the line before held a credential, which a space continues
	taken credentials
}

// unbounded is a body that says itself where it ends.
const unbounded = -1

// credentialName begins the lines of which all that follows is taken away.
// net/http would make strings of it that nobody could find and wipe if it then
// refuses the request.
const credentialName = "authorization:"

// take returns how many of the bytes, which come next, may be handed over
// together. It changes those of credentials.
func (f *framing) take(b []byte) (n int) {
	switch {
	case f.body == unbounded:
		return len(b)
	case f.body > 0:
		n = int(min(f.body, int64(len(b))))
		f.body -= int64(n)
	case len(b) > 1: // and not net/http's wait for the end of the connection
		secretbuf.Do(func() { n = f.header(b) })
	default:
		n = f.header(b)
	}
	return n
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
		if f.endLine() {
			return at
		}
	}
	return len(b)
}

// endLine reports whether the line was the last of a header.
func (f *framing) endLine() bool {
	empty := f.line == 0 || f.cr
	f.folds = f.name == len(credentialName) && !empty
	f.line, f.cr, f.name = 0, false, 0
	return empty
}

// add lengthens the current line.
func (f *framing) add(part []byte) {
	if len(part) == 0 {
		return
	}
	f.cr = f.line == 0 && len(part) == 1 && part[0] == '\r'
	if f.line == 0 && f.folds && (part[0] == ' ' || part[0] == '\t') {
		f.name = len(credentialName)
	}
	f.line += len(part)
	if rest := part[f.match(part):]; f.name == len(credentialName) && takeCredentials {
		f.taken.add(rest)
	}
}

// match compares the line with credentialName, as far as it is known, and returns
// how many of the bytes belong to that.
func (f *framing) match(part []byte) (n int) {
	if f.name < 0 || f.name == len(credentialName) {
		return 0
	}
	for ; n < len(part); n++ {
		if part[n]|0x20 != credentialName[f.name] { // letters in either case
			f.name = -1
			return n
		}
		if f.name++; f.name == len(credentialName) {
			if takeCredentials {
				f.taken.begin()
			}
			return n + 1
		}
	}
	return n
}

// credentials are values that were taken out of a header, each behind a line
// feed. The array is wiped and used again.
type credentials struct{ b []byte }

func (c *credentials) begin() { c.append('\n') }

// add takes a value, or a part of one, and leaves letters of no meaning.
func (c *credentials) add(part []byte) {
	for i, x := range part {
		switch x {
		case '\r':
			continue
		case ' ', '\t':
		default:
			part[i] = 'x'
		}
		c.append(x)
	}
}

func (c *credentials) append(x byte) {
	if len(c.b) == cap(c.b) {
		old := c.b
		c.b = append(make([]byte, 0, max(256, 2*cap(old))), old...)
		secretbuf.Wipe(old)
	}
	c.b = append(c.b, x)
}

// values returns them as strings, which whoever gets them wipes.
func (c *credentials) values() (all []string) {
	for rest := c.b; len(rest) > 0; {
		value, _, more := bytes.Cut(rest[1:], []byte{'\n'})
		all = append(all, secretbuf.String(bytes.TrimSpace(value)))
		if !more {
			break
		}
		rest = rest[1+len(value):]
	}
	return all
}

func (c *credentials) wipe() {
	secretbuf.Wipe(c.b)
	c.b = c.b[:0]
}
