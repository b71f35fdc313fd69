package main_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// This file is the end of the load: requests after which net/http and
// crypto/tls drop memory that holds plaintext, each of a kind that some measure
// is about. Whatever comes after them could overwrite their traces, so they are
// few, and the quietest come last. Before them is a pause: buffers are then as
// small as they get, as an idle server empties its pools.

// each of the last requests is done so many times.
const each = 8

func (s *suite) last() {
	s.t.Helper()
	paths, err := s.answersThatFill()
	var lines []*wire
	for n := 0; n < each && err == nil; n++ {
		// A connection does its handshake before the pause: a certificate takes a
		// larger buffer than an answer.
		var w *wire
		if w, err = s.held(n); err == nil {
			lines = append(lines, w)
		}
	}
	const emptied = 3 * time.Second // more than the server waits with its collection
	time.Sleep(emptied)
	for n := 0; n < each && err == nil; n++ {
		err = s.hybrid(n, lines[n])
	}
	for n := 0; n < len(paths) && err == nil; n++ {
		_, err = lines[n%each].exchange("GET", paths[n], nil)
	}
	for n := 0; n < len(refusals) && err == nil; n++ {
		err = s.refusedUnseen(n)
	}
	for n := 0; n < each && err == nil; n++ {
		// The second time an array is outgrown that the first time brought about.
		err = errors.Join(s.recordsTogether(n, 3_000, lines[n]), s.recordsTogether(n, 14_000, lines[n]))
	}
	for n := 0; n < each && err == nil; n++ {
		// Each shorter than the one before, of which something is left.
		value := s.long("of a body that nobody reads", 6_000-600*n)
		err = lines[n].send(lines[n].message("PUT", "/api/v1/nothing", bodyOf(value, false, "")), "PUT", http.StatusNotFound)
	}
	for n := 0; n < each && err == nil; n++ {
		m := lines[n].message("PUT", s.path(fmt.Sprintf("last/close/%d", n)), bodyOf(s.value("last of a connection"), false, ""), "Connection: close")
		err = lines[n].send(m, "PUT", http.StatusCreated)
	}
	if err != nil {
		s.t.Fatalf("last requests: %v", err)
	}
}

// hybrid makes HPKE leave on the heap what only a collection erases.
func (s *suite) hybrid(n int, w *wire) error {
	path, value := s.path(fmt.Sprintf("last/hybrid/%d", n)), s.value("last hybrid")
	if err := w.put(path, value, 1); err != nil {
		return err
	}
	return w.get(path, value)
}

// refusals are what net/http refuses by itself, when it has made strings of the
// header and before there is a handler.
var refusals = []struct{ from, to string }{
	{"Host: it\r\n", ""},
	{"Host: it\r\n", "Host: it\r\nHost: other\r\n"},
	{"Host: it\r\n", "Host: <>\r\n"},
	{"Content-Length: ", "Content-Length: x"},
	{"Content-Length: ", "Content-Length: 1\r\nContent-Length: "},
	{"Content-Type: ", "Transfer-Encoding: gzip\r\nContent-Type: "},
	{"Content-Type: ", "Expect: nothing\r\nContent-Type: "},
	{"Content-Type: ", "no colon\r\nContent-Type: "},
	{"Content-Type: ", "bad name : x\r\nContent-Type: "},
	{"Content-Type: ", "Long: " + strings.Repeat("x", 20<<10) + "\r\nContent-Type: "},
	{"HTTP/1.1", "HTTP/2.7"},
	{"HTTP/1.1", "HTTP/1.1 HTTP/1.1"},
}

// refusedUnseen has net/http refuse a request with a value by itself.
func (s *suite) refusedUnseen(n int) error {
	w, err := s.dial(n)
	if err != nil {
		return err
	}
	r := refusals[n%len(refusals)]
	m := w.message("PUT", s.path("last/x"), bodyOf(s.value(fmt.Sprintf("refused by net/http: %.20s", r.to)), false, ""))
	if !bytes.Contains(m, []byte(r.from)) {
		return fmt.Errorf("a request has no %q", r.from)
	}
	return w.sendAll(bytes.Replace(m, []byte(r.from), []byte(r.to), 1))
}

// arraySizes are some of those that Go's allocator hands out. TLS puts an
// answer with five bytes before it into an array, which it has to change for
// another if less than 17 bytes are left in it.
var arraySizes = []int{576, 640, 704, 768, 896, 1024, 1152}

// answersThatFill stores values whose answers just fill such arrays, the body
// alone or with its header, and returns where they are, the shorter first.
func (s *suite) answersThatFill() (paths []string, err error) {
	w, err := s.dial(0)
	if err != nil {
		return nil, err
	}
	const sample = 100
	path := s.path("last/sample/0000")
	if err := w.put(path, strings.Repeat("x", sample), 0); err != nil {
		return nil, err
	}
	body, header, err := w.sizesOfAnswer(path)
	if err != nil {
		return nil, err
	}
	for _, size := range arraySizes {
		for n := range each {
			path := s.path(fmt.Sprintf("last/answer/%04d", size+n))
			length := size - 5 - 8 - (body - sample)
			if n%2 == 1 {
				length -= header
			}
			if err := w.put(path, s.long("fills an array", length), 0); err != nil {
				return nil, err
			}
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// sizesOfAnswer tells how many bytes the answer to a GET has.
func (w *wire) sizesOfAnswer(path string) (body, header int, err error) {
	if _, err := w.Write(w.message("GET", path, nil)); err != nil {
		return 0, 0, err
	}
	var seen bytes.Buffer
	w.in.Reset(io.TeeReader(w.Conn, &seen))
	_, b, err := w.receive("GET")
	w.in.Reset(w.Conn)
	return len(b), seen.Len() - len(b), err
}

// held makes a connection that can put several writes into one segment, each
// in a single TLS record.
func (s *suite) held(n int) (*wire, error) {
	raw, err := net.Dial("tcp", s.address)
	if err != nil {
		return nil, err
	}
	raw.SetDeadline(time.Now().Add(2 * patience))
	together := &segment{Conn: raw}
	w := &wire{Conn: together, socket: together, token: s.tokens[n%len(s.tokens)], suite: s}
	if s.tls != nil {
		config := s.tls.Clone()
		config.DynamicRecordSizingDisabled = true
		w.Conn = tls.Client(together, config)
	}
	w.in = bufio.NewReader(w.Conn)
	s.keep(w.Conn)
	return w, w.send(w.message("GET", s.path("last/none"), nil), "GET", http.StatusNotFound)
}

// recordsTogether sends a small record with a value and a large one behind it
// in one segment: a buffer that holds both must grow while it holds the value.
func (s *suite) recordsTogether(n, size int, w *wire) error {
	together := w.socket.(*segment)
	together.held = []byte{}
	small, large := s.path(fmt.Sprintf("last/small/%d/%d", size, n)), s.path(fmt.Sprintf("last/large/%d/%d", size, n))
	w.Write(w.message("PUT", small, bodyOf(s.value("small record"), false, "")))
	w.Write(w.message("PUT", large, bodyOf(s.long("large record", size), false, "")))
	if err := together.flush(); err != nil {
		return err
	}
	for range 2 {
		if status, body, err := w.receive("PUT"); err != nil || status != http.StatusCreated {
			return fmt.Errorf("status %d, %s, %v", status, body, err)
		}
	}
	return nil
}

// segment is a connection that can put several writes into one.
type segment struct {
	net.Conn
	held []byte // nil unless it holds back
}

func (s *segment) Write(p []byte) (int, error) {
	if s.held == nil {
		return s.Conn.Write(p)
	}
	s.held = append(s.held, p...)
	return len(p), nil
}

func (s *segment) flush() error {
	held := s.held
	s.held = nil
	_, err := s.Conn.Write(held)
	return err
}
