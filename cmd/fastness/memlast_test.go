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
// few. Before them is a pause: buffers are then as small as they get, as an idle
// server empties its pools.

// each of the last requests is done so many times.
const each = 8

// ending is one kind of last requests.
type ending struct {
	name string
	do   func(*suite, *prepared) error
}

// prepared is what was made before the pause.
type prepared struct {
	paths []string // of values whose answers fill arrays
	lines []*wire  // each connections
}

var endings = []ending{
	{"answers", (*suite).readAnswers},
	{"refusals", (*suite).refusedByNetHTTP},
	{"records", (*suite).recordsOutgrown},
	{"unread", (*suite).bodiesUnread},
	{"closing", (*suite).closing},
	{"hybrid", (*suite).hybrid},
}

// last ends the load, with all endings or only the one of that name: for the
// check of the measure that it is about, with nothing before it that changes
// buffers, and nothing after it.
func (s *suite) last(only string) {
	s.t.Helper()
	p, err := s.prepare()
	const emptied = 3 * time.Second // more than the server waits with its collection
	time.Sleep(emptied)
	for _, e := range endings {
		if err == nil && (only == "" || only == e.name) {
			err = e.do(s, p)
		}
	}
	if err != nil {
		s.t.Fatalf("last requests: %v", err)
	}
}

func (s *suite) prepare() (p *prepared, err error) {
	p = &prepared{}
	if p.paths, err = s.answersThatFill(); err != nil {
		return nil, err
	}
	p.lines, err = s.connections(each, s.held)
	return p, err
}

// connections makes some that have had an answer: they have done their
// handshake, as a certificate takes a larger buffer than an answer, and have a
// buffer of net/http's each.
func (s *suite) connections(n int, dial func(int) (*wire, error)) (lines []*wire, err error) {
	for i := range n {
		w, err := dial(i)
		if err == nil {
			err = w.send(w.message("GET", s.path("last/none"), nil), "GET", http.StatusNotFound)
		}
		if err != nil {
			return nil, err
		}
		lines = append(lines, w)
	}
	return lines, nil
}

// readAnswers reads what fills arrays, the shorter first.
func (s *suite) readAnswers(p *prepared) error {
	for n, path := range p.paths {
		if _, err := p.lines[n%each].exchange("GET", path, nil); err != nil {
			return err
		}
	}
	return nil
}

// recordsOutgrown has TLS outgrow its buffers for input. The second time it is
// an array that the first time brought about.
func (s *suite) recordsOutgrown(p *prepared) error {
	for n, w := range p.lines {
		if err := errors.Join(s.recordsTogether(n, 3_000, w), s.recordsTogether(n, 14_000, w)); err != nil {
			return err
		}
	}
	return nil
}

// bodiesUnread sends bodies that nobody wants, all at once: each first without
// its end, for which somebody then waits with a buffer of its own.
func (s *suite) bodiesUnread(*prepared) error {
	lines, err := s.connections(2*each, s.dial)
	if err != nil {
		return err
	}
	const held = 100
	var messages [][]byte
	for _, w := range lines {
		m := w.message("PUT", "/api/v1/nothing", bodyOf(s.long("of a body that nobody reads", 6_000), false, ""))
		messages = append(messages, m)
		if _, err := w.Write(m[:len(m)-held]); err != nil {
			return err
		}
	}
	time.Sleep(100 * time.Millisecond)
	for i, w := range lines {
		m := messages[i]
		if err := w.send(m[len(m)-held:], "PUT", http.StatusNotFound); err != nil {
			return err
		}
	}
	return nil
}

// closing stores a value by each of many connections at once, which then close
// with nothing read behind it.
func (s *suite) closing(*prepared) error {
	lines, err := s.connections(8*each, s.dial)
	if err != nil {
		return err
	}
	for n, w := range lines {
		body := bodyOf(s.value("last of a connection"), false, "")
		m := w.message("PUT", s.path(fmt.Sprintf("last/close/%d", n)), body, "Connection: close")
		if err := w.send(m, "PUT", http.StatusCreated); err != nil {
			return err
		}
	}
	return nil
}

// hybrid makes HPKE leave on the heap what only a collection erases.
func (s *suite) hybrid(p *prepared) error {
	for n, w := range p.lines {
		path, value := s.path(fmt.Sprintf("last/hybrid/%d", n)), s.value("last hybrid")
		if err := w.put(path, value, 1); err != nil {
			return err
		}
		if err := w.get(path, value); err != nil {
			return err
		}
	}
	return nil
}

// refusedByNetHTTP sends each of the refusals.
func (s *suite) refusedByNetHTTP(*prepared) error {
	for n := range refusals {
		if err := s.refusedUnseen(n); err != nil {
			return err
		}
	}
	return nil
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
	raw.SetDeadline(time.Now().Add(10 * patience))
	together := &segment{Conn: raw}
	w := &wire{Conn: together, socket: together, token: s.tokens[n%len(s.tokens)], suite: s}
	if s.tls != nil {
		config := s.tls.Clone()
		config.DynamicRecordSizingDisabled = true
		w.Conn = tls.Client(together, config)
	}
	w.in = bufio.NewReader(w.Conn)
	s.keep(w.Conn)
	return w, nil
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
