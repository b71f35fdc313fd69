package main_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// This file is the end of the load: requests after which crypto/tls drops
// arrays that hold plaintext, and after which nothing comes that would overwrite
// them. They need buffers that are as small as they get, which is why there is a
// pause before: an idle server empties its pools.

// last does so, on connections that have done their handshakes before the
// pause: a certificate takes a larger buffer than an answer.
func (s *suite) last(times int) {
	s.t.Helper()
	paths, err := s.answersThatFill(times)
	var lines []*wire
	for n := 0; n < times && err == nil; n++ {
		var w *wire
		if w, err = s.held(n); err == nil {
			lines = append(lines, w)
		}
	}
	const emptied = 3 * time.Second // more than the server waits with its collection
	time.Sleep(emptied)
	for n := 0; n < times && err == nil; n++ {
		err = s.recordsTogether(n, lines[n])
	}
	for n := 0; n < len(paths) && err == nil; n++ {
		_, err = lines[n%times].exchange("GET", paths[n], nil)
	}
	if err != nil {
		s.t.Fatalf("last requests: %v", err)
	}
}

// arraySizes are some of those that Go's allocator hands out. TLS puts an
// answer with five bytes before it into an array, which it has to change for
// another if less than 17 bytes are left in it.
var arraySizes = []int{576, 640, 704, 768, 896, 1024, 1152}

// answersThatFill stores values whose answers just fill such arrays, and
// returns where they are, the shorter first.
func (s *suite) answersThatFill(times int) (paths []string, err error) {
	w, err := s.dial(0)
	if err != nil {
		return nil, err
	}
	const sample = 100
	path := s.path("last/sample/0000")
	if err := w.put(path, strings.Repeat("x", sample), 0); err != nil {
		return nil, err
	}
	whole, err := w.sizeOfAnswer(path)
	if err != nil {
		return nil, err
	}
	for _, size := range arraySizes {
		for n := range times {
			path := s.path(fmt.Sprintf("last/answer/%04d", size+n))
			length := size - 5 - 8 - (whole - sample)
			if err := w.put(path, s.long("fills an array", length), 0); err != nil {
				return nil, err
			}
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// sizeOfAnswer tells how many bytes the answer to a GET has, with its header.
func (w *wire) sizeOfAnswer(path string) (int, error) {
	if _, err := w.Write(w.message("GET", path, nil)); err != nil {
		return 0, err
	}
	var seen bytes.Buffer
	w.in.Reset(io.TeeReader(w.Conn, &seen))
	_, _, err := w.receive("GET")
	w.in.Reset(w.Conn)
	return seen.Len(), err
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
func (s *suite) recordsTogether(n int, w *wire) error {
	together := w.socket.(*segment)
	together.held = []byte{}
	small, large := s.path(fmt.Sprintf("last/small/%d", n)), s.path(fmt.Sprintf("last/large/%d", n))
	w.Write(w.message("PUT", small, bodyOf(s.value("small record"), false, "")))
	w.Write(w.message("PUT", large, bodyOf(s.long("large record", 2000+600*n), false, "")))
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
