package secretbuf

import (
	"io"
	"net"
	"sync/atomic"
)

// Records is a connection to put below a [crypto/tls.Conn], so that the TLS
// connection keeps no plaintext in its input buffer. It relies on two habits of
// crypto/tls: records are decrypted in place, and each call of Read lends all of
// the buffer that no record is in.
//
//   - Read clears what it is lent before it waits, and with it the records that
//     were read before.
//   - Read returns at most one record. If the next one came along, the buffer
//     might have to grow for it while it holds plaintext, and the old array would
//     be dropped as it is.
//
// Read is for one caller at a time, as crypto/tls has it.
type Records struct {
	net.Conn
	ended atomic.Bool
	ahead []byte // ciphertext that was received beyond the current record
	head  [recordHeader]byte
	known int // bytes of head
	left  int // bytes of the current record's payload that are still to come
}

// recordHeader is type, version and length of a TLS record.
const recordHeader = 5

// NewRecords puts Records over a socket.
func NewRecords(c net.Conn) *Records { return &Records{Conn: c} }

// End makes Read clear what it is lent and return io.EOF from now on. It may be
// called at any time.
func (r *Records) End() { r.ended.Store(true) }

func (r *Records) Read(p []byte) (n int, err error) {
	if clearRecords {
		Wipe(p)
	}
	if r.ended.Load() {
		return 0, io.EOF
	}
	if len(r.ahead) > 0 {
		n = copy(p, r.ahead[:r.take(r.ahead[:min(len(p), len(r.ahead))])])
		if r.ahead = r.ahead[n:]; len(r.ahead) == 0 {
			r.ahead = nil
		}
		return n, nil
	}
	n, err = r.Conn.Read(p)
	if one := r.take(p[:n]); one < n && oneRecord {
		r.ahead = append([]byte(nil), p[one:n]...)
		Wipe(p[one:n])
		n = one
	}
	return n, err
}

// take returns how many of the bytes, which come next, belong to the current
// record; if none is current, to the one that they begin.
func (r *Records) take(b []byte) (n int) {
	for n < len(b) {
		if r.left > 0 {
			part := min(r.left, len(b)-n)
			r.left -= part
			n += part
			if r.left == 0 {
				return n
			}
			continue
		}
		r.head[r.known] = b[n]
		r.known++
		n++
		if r.known == recordHeader {
			r.known = 0
			r.left = int(r.head[3])<<8 | int(r.head[4])
			if r.left == 0 {
				return n
			}
		}
	}
	return n
}
