package main_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// target is a server under load.
type target struct {
	address string      // HOST:PORT
	tls     *tls.Config // nil for plain HTTP
	tenant  string
	tokens  []string // the tenant's
	known   []plant  // credentials and keys that it works with
}

// suite plants values in a server. It speaks HTTP by hand: what a careful
// client would never send is half of it. Its connections stay open.
type suite struct {
	*target
	t testing.TB
	// observe, if set, is shown every answer.
	observe func(method string, status int, header http.Header, body []byte)

	mu     sync.Mutex // guards the rest
	random *rand.Rand
	plants []plant
	open   []net.Conn
}

func newSuite(t testing.TB, on *target, seed uint64) *suite {
	s := &suite{target: on, t: t, random: rand.New(luck(seed))}
	t.Cleanup(s.close)
	return s
}

// close closes all connections.
func (s *suite) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		c.Close()
	}
	s.open = nil
}

const valueLength = 32

// value makes a value and plants it. One of four has characters that JSON
// escapes.
func (s *suite) value(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := randomText(s.random, valueLength)
	if len(s.plants)%4 == 3 {
		for i, c := range []byte{'"', '\\', '<', '\n'} {
			b[4+8*i] = c
		}
	}
	s.plants = append(s.plants, plant{kind: kindValue, name: name, bytes: b})
	return string(b)
}

// long makes a value of n bytes that repeats a block, and plants the block.
func (s *suite) long(name string, n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A multiple of three, so that base64 repeats itself with it.
	block := randomText(s.random, 48)
	s.plants = append(s.plants, plant{kind: kindValue, name: name, bytes: block, repeats: true})
	return strings.Repeat(string(block), n/len(block)+1)[:n]
}

func randomText(random *rand.Rand, n int) []byte {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[random.IntN(len(letters))]
	}
	return b
}

// learned plants a value that the server made.
func (s *suite) learned(kind, name string, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plants = append(s.plants, plant{kind: kind, name: name, bytes: b})
}

// all returns what the server must not keep.
func (s *suite) all() []plant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(append([]plant(nil), s.known...), s.plants...)
}

// wire is one connection and the credential used on it.
type wire struct {
	net.Conn          // maybe TLS
	socket   net.Conn // below it
	in       *bufio.Reader
	token    string
	suite    *suite
}

// dial opens a connection, which stays open until the suite ends.
func (s *suite) dial(number int) (*wire, error) {
	raw, err := net.Dial("tcp", s.address)
	if err != nil {
		return nil, err
	}
	var c net.Conn = raw
	if s.tls != nil {
		c = tls.Client(raw, s.tls)
	}
	c.SetDeadline(time.Now().Add(10 * patience))
	s.keep(c)
	return &wire{c, raw, bufio.NewReader(c), s.tokens[number%len(s.tokens)], s}, nil
}

// keep leaves a connection open until the suite ends.
func (s *suite) keep(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, c)
}

// message writes a request by hand. Headers are whole lines.
func (w *wire) message(method, path string, body []byte, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: it\r\nAuthorization: Bearer %s\r\n", method, path, w.token)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	if body != nil {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// receive reads an answer.
func (w *wire) receive(method string) (status int, body []byte, err error) {
	r, err := http.ReadResponse(w.in, &http.Request{Method: method})
	if err != nil {
		return 0, nil, err
	}
	defer r.Body.Close()
	body, err = io.ReadAll(r.Body)
	if observe := w.suite.observe; observe != nil {
		observe(method, r.StatusCode, r.Header, body)
	}
	return r.StatusCode, body, err
}

// exchange sends a request and expects a success.
func (w *wire) exchange(method, path string, body []byte, headers ...string) ([]byte, error) {
	if _, err := w.Write(w.message(method, path, body, headers...)); err != nil {
		return nil, err
	}
	status, answer, err := w.receive(method)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if status >= 300 {
		return nil, fmt.Errorf("%s %s: status %d: %s", method, path, status, answer)
	}
	return answer, nil
}

// path is where a value is.
func (s *suite) path(name string) string { return valuePath(s.tenant, name) }

// bodyOf is a body with a value, escaped in either of the usual ways.
func bodyOf(value string, html bool, more string) []byte {
	return []byte(`{"value":"` + string(jsonEscaped([]byte(value), html)) + `"` + more + `}`)
}

// put stores a value.
func (w *wire) put(path, value string, n int) error {
	more := ""
	if n%4 == 1 {
		more = `,"algorithm":"hybrid-quantum"`
	}
	_, err := w.exchange("PUT", path, bodyOf(value, n%2 == 0, more))
	return err
}

// get reads a value and compares it.
func (w *wire) get(path, want string) error {
	answer, err := w.exchange("GET", path, nil)
	if err != nil {
		return err
	}
	var got version
	if err := json.Unmarshal(answer, &got); err != nil {
		return err
	}
	if got.Value != want {
		return fmt.Errorf("%s is %q, want %q", path, got.Value, want)
	}
	return nil
}

// standard is the load of well-behaved clients: so many values, each stored
// once and read so many times, over connections that are kept alive.
type standard struct {
	values, reads, connections int
	// meanwhile, if set, runs at some time in the middle of the reads.
	meanwhile func()
}

func (s *suite) standard(load standard) {
	s.t.Helper()
	paths, values := make([]string, load.values), make([]string, load.values)
	for i := range values {
		name := fmt.Sprintf("standard/%d", i)
		paths[i], values[i] = s.path(name), s.value(name)
	}
	var stored, done sync.WaitGroup
	stored.Add(load.connections)
	errs := make(chan error, load.connections)
	for n := range load.connections {
		done.Go(func() { errs <- s.work(n, load, paths, values, &stored) })
	}
	if load.meanwhile != nil {
		stored.Wait()
		time.Sleep(200 * time.Millisecond) // now all of them read
		load.meanwhile()
	}
	done.Wait()
	for range load.connections {
		if err := <-errs; err != nil {
			s.t.Fatal(err)
		}
	}
}

// work is what one connection does.
func (s *suite) work(n int, load standard, paths, values []string, stored *sync.WaitGroup) error {
	l, err := s.dial(n)
	for i := n; i < len(values) && err == nil; i += load.connections {
		err = l.put(paths[i], values[i], i)
	}
	stored.Done()
	if err != nil {
		return err
	}
	stored.Wait()
	for i := range load.reads * load.values / load.connections {
		k := (n*7 + i) % len(values)
		if err := l.get(paths[k], values[k]); err != nil {
			return err
		}
	}
	return nil
}
