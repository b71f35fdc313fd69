//go:build bench

package main_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func init() {
	roles["loader"] = serveJob
	roles["bare"] = serveBare
}

// job tells a loader what to do. It comes as JSON on the loader's stdin.
type job struct {
	Address     string // HOST:PORT
	Certificate []byte // PEM, to be trusted; nil for plain HTTP
	Connections int
	Warmup      time.Duration // not counted
	Duration    time.Duration // counted; 0 for until Total
	Total       int64         // answers in all; 0 for until Duration

	// Requests are sent in turn: connection k sends those with the numbers k,
	// k+Connections and so on, from the start again after the last.
	Requests [][]byte
	// With Count, a request is instead Before, a random number below Count with
	// seven digits, and After.
	Before, After []byte
	Count         int
}

// result is what a loader has measured. It leaves as JSON on its stdout.
type result struct {
	Answers       int64
	Elapsed       time.Duration
	P50, P90, P99 time.Duration
	Refused       map[string]int64 // answers other than 2xx, by status
}

func (r result) rate() float64 { return float64(r.Answers) / r.Elapsed.Seconds() }

// load runs a job in a loader process and expects that nothing is refused.
func load(t *testing.T, j job) result {
	t.Helper()
	in, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=loader")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("loader: %v", err)
	}
	loaderTime += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	var r result
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("loader: %v", err)
	}
	if len(r.Refused) > 0 || r.Answers == 0 {
		t.Fatalf("answers: %d, of them refused by status: %v", r.Answers, r.Refused)
	}
	return r
}

func serveJob() error {
	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		return err
	}
	r, err := j.run()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// dial opens a connection of the job.
func (j job) dial() (net.Conn, error) {
	if j.Certificate == nil {
		return net.Dial("tcp", j.Address)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(j.Certificate)
	return tls.Dial("tcp", j.Address, &tls.Config{RootCAs: roots})
}

// measurement is what the connections of a job share.
type measurement struct {
	job
	counting atomic.Bool // the warm-up is over
	stopping atomic.Bool
	left     atomic.Int64 // of Total
}

func (j job) run() (*result, error) {
	m := &measurement{job: j}
	m.left.Store(j.Total)
	lines := make([]*line, j.Connections)
	for k := range lines {
		c, err := j.dial()
		if err != nil {
			return nil, err
		}
		defer c.Close()
		lines[k] = &line{m: m, conn: c, number: k, in: make([]byte, 128<<10), refused: map[string]int64{},
			random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
	}
	errs := make([]error, len(lines))
	var all sync.WaitGroup
	for k, l := range lines {
		all.Go(func() { errs[k] = l.run() })
	}
	time.Sleep(j.Warmup)
	m.counting.Store(true)
	started := time.Now()
	if j.Total == 0 {
		time.Sleep(j.Duration)
		m.stopping.Store(true)
	}
	all.Wait()
	r := &result{Elapsed: time.Since(started), Refused: map[string]int64{}}
	var times []time.Duration
	for _, l := range lines {
		times = append(times, l.times...)
		for status, n := range l.refused {
			r.Refused[status] += n
		}
	}
	r.Answers = int64(len(times))
	if len(times) > 0 {
		slices.Sort(times)
		at := func(q float64) time.Duration { return times[int(q*float64(len(times)-1))] }
		r.P50, r.P90, r.P99 = at(.5), at(.9), at(.99)
	}
	return r, errors.Join(errs...)
}

// line is a connection, which has one request on its way at a time.
type line struct {
	m       *measurement
	conn    net.Conn
	number  int
	random  *rand.Rand
	in, out []byte
	times   []time.Duration
	refused map[string]int64
}

func (l *line) run() error {
	for n := l.number; !l.m.stopping.Load(); n += l.m.Connections {
		counted := l.m.counting.Load()
		if counted && l.m.Total > 0 && l.m.left.Add(-1) < 0 {
			return nil
		}
		request := l.request(n)
		sent := time.Now()
		if _, err := l.conn.Write(request); err != nil {
			return err
		}
		status, err := l.receive()
		if err != nil {
			return err
		}
		if counted {
			l.times = append(l.times, time.Since(sent))
		}
		if status[0] != '2' {
			l.refused[string(status)]++
		}
	}
	return nil
}

func (l *line) request(n int) []byte {
	if l.m.Count == 0 {
		return l.m.Requests[n%len(l.m.Requests)]
	}
	l.out = append(l.out[:0], l.m.Before...)
	l.out = fmt.Appendf(l.out, "%07d", l.random.IntN(l.m.Count))
	l.out = append(l.out, l.m.After...)
	return l.out
}

var (
	headerEnd = []byte("\r\n\r\n")
	lengthKey = []byte("\r\nContent-Length: ")
)

// receive reads an answer, which must have a Content-Length, and returns its
// status.
func (l *line) receive() (status []byte, err error) {
	got, want := 0, -1
	for want < 0 || got < want {
		n, err := l.conn.Read(l.in[got:])
		if err != nil {
			return nil, fmt.Errorf("after %d bytes of an answer: %w", got, err)
		}
		got += n
		if want >= 0 {
			continue
		}
		end := bytes.Index(l.in[:got], headerEnd)
		if end < 0 {
			continue
		}
		length := bytes.Index(l.in[:end], lengthKey)
		if length < 0 {
			return nil, fmt.Errorf("answer without a length: %q", l.in[:end])
		}
		digits := l.in[length+len(lengthKey) : end]
		if i := bytes.IndexByte(digits, '\r'); i >= 0 {
			digits = digits[:i]
		}
		body, err := strconv.Atoi(string(digits))
		if err != nil {
			return nil, err
		}
		want = end + len(headerEnd) + body
	}
	return l.in[len("HTTP/1.1 "):][:3], nil
}

// serveBare answers every request with the header and the body that it reads
// as JSON from stdin, and does nothing else: the server to compare with.
func serveBare() error {
	var fixed struct {
		Header http.Header
		Body   []byte
	}
	if err := json.NewDecoder(os.Stdin).Decode(&fixed); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		for k, v := range fixed.Header {
			h[k] = v
		}
		w.Write(fixed.Body)
	}))
}

// bareServer is a process that serves bare.
type bareServer struct {
	*process
	address string
}

// startBare starts a bare server with the answer that it shall give.
func startBare(t *testing.T, like *answer) *bareServer {
	t.Helper()
	header := like.header.Clone()
	header.Del("Date") // net/http's own
	in, err := json.Marshal(map[string]any{"Header": header, "Body": like.body})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=bare")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return &bareServer{process: &process{cmd: cmd}, address: string(bytes.TrimSpace(line[:n]))}
}
