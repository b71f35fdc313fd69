package server_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"fastness/internal/server"
)

// startFront serves a handler at POST /, in plain or over TLS.
func startFront(t *testing.T, encrypted bool, h http.HandlerFunc) *server.Server {
	t.Helper()
	c := server.Config{Front: func(func(string, string) func(string, time.Duration)) http.Handler { return h }}
	if encrypted {
		c.Certificate, c.Key = writePair(t, t.TempDir(), 1)
	}
	s, _ := start(t, c)
	return s
}

// dial opens a connection to write requests on by hand.
func dial(t *testing.T, s *server.Server) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(s.URL(), "https:") {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c, bufio.NewReader(c)
}

// post is a request by hand. Its body is not part of it where headers say how
// the body comes.
func post(body string, headers ...string) string {
	if len(headers) == 0 {
		headers = []string{"Content-Length: " + strconv.Itoa(len(body))}
	}
	return "POST / HTTP/1.1\r\nHost: x\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n" + body
}

// receive reads an answer to the end.
func receive(t *testing.T, in *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	r, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(body)
}

// onBoth runs a test in plain and over TLS.
func onBoth(t *testing.T, f func(t *testing.T, encrypted bool)) {
	t.Run("plain", func(t *testing.T) { f(t, false) })
	t.Run("TLS", func(t *testing.T) { f(t, true) })
}

// echo answers with the body, of a length told before.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "cut", http.StatusBadRequest)
		return
	}
	w.Header()["Content-Type"] = []string{"application/octet-stream"}
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.Write(body)
}

// TestReaderIsScrubbed looks into the buffer of net/http's reader when a handler
// begins and when it has read the body, while further requests wait. They come
// together, in two pieces cut anywhere, and each must be answered with its own.
func TestReaderIsScrubbed(t *testing.T) {
	onBoth(t, func(t *testing.T, encrypted bool) {
		left := make(chan []byte, 1000)
		s := startFront(t, encrypted, func(w http.ResponseWriter, r *http.Request) {
			left <- server.ReaderOf(r)
			echo(w, r)
			left <- server.ReaderOf(r)
		})
		bodies := []string{"first secret", "", strings.Repeat("large secret ", 1000), "\r\n\r\nPOST / HTTP/1.1\r\n\r\n", "last"}
		var all string
		for _, body := range bodies {
			all += post(body)
		}
		for _, cut := range []int{len(all), 1, 40, 60, 70, 100, 5000, len(all) - 2} {
			c, in := dial(t, s)
			io.WriteString(c, all[:cut])
			time.Sleep(5 * time.Millisecond) // so that the pieces come apart
			io.WriteString(c, all[cut:])
			for i, want := range bodies {
				if r, body := receive(t, in, "POST"); r.StatusCode != 200 || body != want {
					t.Fatalf("cut at %d: answer %d: status %d, %.40q", cut, i, r.StatusCode, body)
				}
			}
		}
		for range len(left) {
			if b := bytes.Trim(<-left, "\x00"); len(b) > 0 {
				t.Fatalf("net/http's buffer holds %.100q", b)
			}
		}
	})
}

// TestAnswers goes through the shapes of answers: of told length, in one piece or
// several, large, of unknown length, without a body.
func TestAnswers(t *testing.T) {
	large := strings.Repeat("large answer ", 20_000)
	shapes := map[string]func(w http.ResponseWriter){
		"told":    func(w http.ResponseWriter) { io.WriteString(w, "short") },
		"pieces":  func(w http.ResponseWriter) { io.WriteString(w, "sho"); io.WriteString(w, "rt") },
		"large":   func(w http.ResponseWriter) { io.WriteString(w, large) },
		"untold":  func(w http.ResponseWriter) { io.WriteString(w, "short") },
		"flushed": func(w http.ResponseWriter) { io.WriteString(w, "sho"); flush(w); io.WriteString(w, "rt") },
		"none":    func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) },
		"empty":   func(http.ResponseWriter) {},
	}
	want := map[string]string{"told": "short", "pieces": "short", "large": large, "untold": "short", "flushed": "short"}
	onBoth(t, func(t *testing.T, encrypted bool) {
		s := startFront(t, encrypted, func(w http.ResponseWriter, r *http.Request) {
			shape := r.Header.Get("Shape")
			if told := want[shape]; shape == "told" || shape == "pieces" || shape == "large" {
				w.Header().Set("Content-Length", strconv.Itoa(len(told)))
			}
			shapes[shape](w)
		})
		c, in := dial(t, s)
		for range 3 {
			for shape := range shapes {
				io.WriteString(c, post("", "Shape: "+shape, "Content-Length: 0"))
				if r, body := receive(t, in, "POST"); body != want[shape] || r.Close {
					t.Fatalf("%s: status %d, close %v, %d bytes", shape, r.StatusCode, r.Close, len(body))
				}
			}
		}
	})
}

func flush(w http.ResponseWriter) { http.NewResponseController(w).Flush() }

// TestUnreadBodies: what a handler leaves of a body is read before the answer
// begins, so that the connection can go on, or else the connection ends.
func TestUnreadBodies(t *testing.T) {
	onBoth(t, func(t *testing.T, encrypted bool) {
		s := startFront(t, encrypted, func(w http.ResponseWriter, r *http.Request) {
			if n, err := strconv.Atoi(r.Header.Get("Read")); err == nil {
				io.ReadFull(r.Body, make([]byte, n))
			}
			fmt.Fprint(w, "seen enough")
		})
		small, large := strings.Repeat("x", 10_000), strings.Repeat("x", 3<<20)
		for name, c := range map[string]struct {
			request string
			closes  bool
		}{
			"unread":       {post(small), false},
			"half read":    {post(small, "Read: 5000", "Content-Length: 10000"), false},
			"too large":    {post(large), true},
			"chunked":      {post("5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), true},
			"bad chunk":    {post("zz\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), true},
			"not expected": {post("", "Expect: 100-continue", "Content-Length: 10000"), true},
		} {
			conn, in := dial(t, s)
			go io.WriteString(conn, c.request)
			if r, body := receive(t, in, "POST"); r.StatusCode != 200 || body != "seen enough" || r.Close != c.closes {
				t.Errorf("%s: status %d, %q, close %v", name, r.StatusCode, body, r.Close)
			}
			if c.closes {
				if _, err := in.ReadByte(); err == nil {
					t.Errorf("%s: the connection goes on", name)
				}
				continue
			}
			io.WriteString(conn, post("again"))
			if r, _ := receive(t, in, "POST"); r.StatusCode != 200 {
				t.Errorf("%s: the next request has status %d", name, r.StatusCode)
			}
		}
	})
}

// TestRefusedByHTTP: what net/http refuses by itself is answered, and ends the
// connection with whatever came along.
func TestRefusedByHTTP(t *testing.T) {
	onBoth(t, func(t *testing.T, encrypted bool) {
		s := startFront(t, encrypted, func(http.ResponseWriter, *http.Request) { t.Error("a handler was called") })
		for request, want := range map[string]int{
			post("a secret", "Expect: nothing", "Content-Length: 8"):          417,
			post("a secret", "Transfer-Encoding: gzip"):                       501,
			post("a secret", "no colon", "Content-Length: 8"):                 400,
			"POST / HTTP/1.1\r\nContent-Length: 8\r\n\r\na secret":            400,
			"POST / HTTP/3.1\r\nContent-Length: 8\r\n\r\na secret":            505,
			post("a secret", "A: "+strings.Repeat("x", server.MaxHeader+300)): 431,
		} {
			c, in := dial(t, s)
			go io.WriteString(c, request+post("next"))
			if r, _ := receive(t, in, "POST"); r.StatusCode != want {
				t.Errorf("%.60q: status %d, want %d", request, r.StatusCode, want)
			}
			if _, err := in.ReadByte(); err == nil {
				t.Errorf("%.60q: the connection goes on", request)
			}
		}
	})
}

// TestExpectedBody: a client that waits to be told is told, once the handler
// reads.
func TestExpectedBody(t *testing.T) {
	onBoth(t, func(t *testing.T, encrypted bool) {
		c, in := dial(t, startFront(t, encrypted, echo))
		io.WriteString(c, post("", "Expect: 100-continue", "Content-Length: 5"))
		if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "100") {
			t.Fatalf("%q, %v", line, err)
		}
		in.ReadString('\n')
		io.WriteString(c, "hello"+post("next"))
		for _, want := range []string{"hello", "next"} {
			if _, body := receive(t, in, "POST"); body != want {
				t.Errorf("%q, want %q", body, want)
			}
		}
	})
}

// TestBodyCutShort is about a client that goes away, and a handler that panics.
func TestBodyCutShort(t *testing.T) {
	onBoth(t, func(t *testing.T, encrypted bool) {
		failed := make(chan error, 1)
		s := startFront(t, encrypted, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			failed <- err
			panic("now what")
		})
		c, _ := dial(t, s)
		io.WriteString(c, post("hello", "Content-Length: 10"))
		c.Close()
		if err := <-failed; !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a body cut short: %v", err)
		}
		c, in := dial(t, s)
		io.WriteString(c, post("hello")+post("again"))
		<-failed
		if b, err := in.ReadByte(); err == nil {
			t.Errorf("after a panic comes %q", b)
		}
	})
}

// TestCredentialsAreWiped keeps the strings that a handler finds in the header.
func TestCredentialsAreWiped(t *testing.T) {
	names := []string{"Authorization", "Proxy-Authorization", "Cookie", "X-Vault-Token", "X-Amz-Security-Token", "X-Api-Key"}
	kept, query := make(chan http.Header, 2), make(chan string, 2)
	c, in := dial(t, startFront(t, false, func(w http.ResponseWriter, r *http.Request) {
		kept <- r.Header.Clone()
		query <- r.URL.RawQuery
	}))
	headers := []string{"Content-Length: 0", "User-Agent: a", "X-Other: stays as it is", "X-Api-Key: 1"}
	for _, name := range names {
		headers = append(headers, name+": a secret")
	}
	io.WriteString(c, strings.Replace(post("", headers...), "/ ", "/?token=fst_1 ", 1)+post(""))
	h := <-kept
	receive(t, in, "POST")
	<-kept // of the next request: so the first one has ended
	for _, name := range names {
		values := h[name]
		if v := values[len(values)-1]; v != strings.Repeat("\x00", len(v)) {
			t.Errorf("%s is %q", name, v)
		}
	}
	if q := <-query; q != strings.Repeat("\x00", len("token=fst_1")) {
		t.Errorf("the query is %q", q)
	}
	if h.Get("X-Other") != "stays as it is" || h.Get("User-Agent") != "a" || h.Get("X-Api-Key") != "1" {
		t.Errorf("other headers: %q", h)
	}
}

// TestHandshakeFails: who speaks plain HTTP to a TLS port is told so, and who
// says nothing is not waited for.
func TestHandshakeFails(t *testing.T) {
	cert, key := writePair(t, t.TempDir(), 1)
	s, _ := start(t, server.Config{Certificate: cert, Key: key, RequestTimeout: 300 * time.Millisecond})
	for message, want := range map[string]string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n": "HTTP/1.0 400", "gibberish": "", "": ""} {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, message)
		c.SetDeadline(time.Now().Add(20 * time.Second))
		b, err := io.ReadAll(c)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() || !strings.HasPrefix(string(b), want) || want == "" && len(b) > 7 {
			t.Errorf("%q: answer %q, %v", message, b, err)
		}
	}
}
