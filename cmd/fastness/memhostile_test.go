package main_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// hostility is one way of sending values that a good client would not. It
// gets a connection of its own, which stays open if the way leaves it so.
type hostility struct {
	name string
	do   func(*suite, *wire, int) error
}

// hostilities are the shapes of requests behind which plaintext was found to
// stay: each leads through another buffer of net/http or crypto/tls.
var hostilities = []hostility{
	{"Connection: close", func(s *suite, w *wire, n int) error {
		value := s.value("close")
		return s.storeAndRead(w, n, value, "Connection: close")
	}},
	{"HTTP/1.0", func(s *suite, w *wire, n int) error {
		value, path := s.value("http/1.0"), s.path(fmt.Sprintf("hostile/old/%d", n))
		old := func(message []byte) []byte { return bytes.Replace(message, []byte("HTTP/1.1"), []byte("HTTP/1.0"), 1) }
		if err := w.send(old(w.message("PUT", path, bodyOf(value, true, ""))), "PUT", 201); err != nil {
			return err
		}
		w, err := s.dial(n)
		if err != nil {
			return err
		}
		return w.send(old(w.message("GET", path, nil)), "GET", 200)
	}},
	{"refused before the body: no credential", func(s *suite, w *wire, n int) error {
		w.token = "fst_" + strings.Repeat("x", 49)
		return w.send(w.message("PUT", s.path("hostile/x"), bodyOf(s.value("401"), false, "")), "PUT", 401)
	}},
	{"refused before the body: media type", func(s *suite, w *wire, n int) error {
		m := w.message("PUT", s.path("hostile/x"), bodyOf(s.value("415"), false, ""))
		return w.send(bytes.Replace(m, []byte("application/json"), []byte("text/plain"), 1), "PUT", 415)
	}},
	{"refused before the body: compressed", func(s *suite, w *wire, n int) error {
		return w.send(w.message("PUT", s.path("hostile/x"), bodyOf(s.value("encoding"), false, ""), "Content-Encoding: gzip"), "PUT", 415)
	}},
	{"refused before the body: a route without one", func(s *suite, w *wire, n int) error {
		return w.send(w.message("GET", s.path("hostile/x"), bodyOf(s.value("get"), false, "")), "GET", 400)
	}},
	{"refused before the body: method", func(s *suite, w *wire, n int) error {
		return w.send(w.message("POST", s.path("hostile/x"), bodyOf(s.value("method"), false, "")), "POST", 405)
	}},
	{"404: no such route", func(s *suite, w *wire, n int) error {
		return w.send(w.message("PUT", "/api/v1/nothing", bodyOf(s.value("404"), false, "")), "PUT", 404)
	}},
	{"404: a foreign tenant", func(s *suite, w *wire, n int) error {
		return w.send(w.message("PUT", valuePath("nobody", "x"), bodyOf(s.value("foreign"), false, "")), "PUT", 0)
	}},
	{"unclean path", func(s *suite, w *wire, n int) error {
		return w.send(w.message("PUT", "/api/v1/../x", bodyOf(s.value("unclean"), false, "")), "PUT", 0)
	}},
	{"broken JSON: the end is missing", func(s *suite, w *wire, n int) error {
		body := bodyOf(s.value("cut"), false, "")
		return w.send(w.message("PUT", s.path("hostile/x"), body[:len(body)-1-n%3]), "PUT", 400)
	}},
	{"broken JSON: a bad escape behind the value", func(s *suite, w *wire, n int) error {
		return w.send(w.message("PUT", s.path("hostile/x"), bodyOf(s.value("escape"), true, `,"description":"\x"`)), "PUT", 400)
	}},
	{"broken JSON: twice the value", func(s *suite, w *wire, n int) error {
		second := jsonEscaped([]byte(s.value("second")), false)
		return w.send(w.message("PUT", s.path("hostile/x"), bodyOf(s.value("first"), false, `,"value":"`+string(second)+`"`)), "PUT", 400)
	}},
	{"the value in an unknown field", func(s *suite, w *wire, n int) error {
		body := bytes.Replace(bodyOf(s.value("unknown"), false, ""), []byte(`"value"`), []byte(`"vlaue"`), 1)
		return w.send(w.message("PUT", s.path("hostile/x"), body), "PUT", 400)
	}},
	{"the value as a field's name", func(s *suite, w *wire, n int) error {
		name := jsonEscaped([]byte(s.value("name")), false)
		return w.send(w.message("PUT", s.path("hostile/x"), fmt.Appendf(nil, `{"value":"x","%s":1}`, name)), "PUT", 400)
	}},
	{"base64 with an error", func(s *suite, w *wire, n int) error {
		body := fmt.Appendf(nil, `{"valueBase64":"%s!"}`, shiftedBase64(base64.StdEncoding, []byte(s.value("base64")), 0))
		return w.send(w.message("PUT", s.path("hostile/x"), body), "PUT", 400)
	}},
	{"body in segments", func(s *suite, w *wire, n int) error {
		m := w.message("PUT", s.path(fmt.Sprintf("hostile/segments/%d", n)), bodyOf(s.value("segments"), false, ""))
		for _, cut := range []int{20, 8, 1} {
			at := len(m) - cut - n
			if _, err := w.Write(m[:at]); err != nil {
				return err
			}
			m = m[at:]
			time.Sleep(2 * time.Millisecond)
		}
		return w.send(m, "PUT", 201)
	}},
	{"abort in the body", func(s *suite, w *wire, n int) error {
		m := w.message("PUT", s.path("hostile/x"), bodyOf(s.value("aborted"), false, ""))
		if _, err := w.Write(m[:len(m)-3-n%8]); err != nil {
			return err
		}
		time.Sleep(2 * time.Millisecond)
		return w.abort(n%2 == 0)
	}},
	{"chunked", func(s *suite, w *wire, n int) error {
		body := bodyOf(s.value("chunked"), n%2 == 0, "")
		return w.send(w.chunked(s.path(fmt.Sprintf("hostile/chunked/%d", n)), body, 1+n*3), "PUT", 201)
	}},
	{"chunked, broken", func(s *suite, w *wire, n int) error {
		m := w.chunked(s.path("hostile/x"), bodyOf(s.value("bad chunk"), false, ""), 20)
		return w.send(bytes.Replace(m, []byte("\r\n14\r\n"), []byte("\r\nzz\r\n"), 1), "PUT", 0)
	}},
	{"large values", func(s *suite, w *wire, n int) error {
		return s.storeAndRead(w, n, s.long("large", 60_000))
	}},
	{"values of many sizes", func(s *suite, w *wire, n int) error {
		return s.storeAndRead(w, n, s.long("size", 100+n*140))
	}},
	{"binary values", func(s *suite, w *wire, n int) error {
		path := s.path(fmt.Sprintf("hostile/binary/%d", n))
		body := fmt.Appendf(nil, `{"valueBase64":"%s"}`, base64.StdEncoding.EncodeToString([]byte(s.value("binary")+"\xff")))
		if err := w.send(w.message("PUT", path, body), "PUT", 201); err != nil {
			return err
		}
		return w.send(w.message("GET", path, nil), "GET", 200)
	}},
	{"too large", func(s *suite, w *wire, n int) error {
		return w.sendAll(w.message("PUT", s.path("hostile/x"), bodyOf(s.long("too large", 600_000), false, "")))
	}},
	{"too large, chunked", func(s *suite, w *wire, n int) error {
		return w.sendAll(w.chunked(s.path("hostile/x"), bodyOf(s.long("too large", 600_000), false, ""), 8000))
	}},
	{"value too large", func(s *suite, w *wire, n int) error {
		return w.send(w.message("PUT", s.path("hostile/x"), bodyOf(s.long("over", 70_000), false, "")), "PUT", 0)
	}},
	{"reader gone in the answer", func(s *suite, w *wire, n int) error {
		path := s.path(fmt.Sprintf("hostile/gone/%d", n))
		if err := w.put(path, s.long("gone", 60_000), 0); err != nil {
			return err
		}
		if tcp, ok := w.socket.(*net.TCPConn); ok {
			tcp.SetReadBuffer(1 << 10)
		}
		if _, err := w.Write(w.message("GET", path, nil)); err != nil {
			return err
		}
		if _, err := io.ReadFull(w.in, make([]byte, 100)); err != nil {
			return err
		}
		return w.abort(n%2 == 0)
	}},
	{"pipelined PUT, PUT, GET", func(s *suite, w *wire, n int) error {
		path := s.path(fmt.Sprintf("hostile/pipelined/%d", n))
		m := slices.Concat(w.message("PUT", path, bodyOf(s.value("pipelined 1"), false, "")),
			w.message("PUT", path, bodyOf(s.value("pipelined 2"), true, "")), w.message("GET", path, nil))
		if err := w.send(m, "PUT", 201); err != nil {
			return err
		}
		for _, method := range []string{"PUT", "GET"} {
			if status, body, err := w.receive(method); err != nil || status != 200 {
				return fmt.Errorf("pipelined %s: status %d, %s, %v", method, status, body, err)
			}
		}
		return nil
	}},
	{"pipelined behind a refusal", func(s *suite, w *wire, n int) error {
		m := slices.Concat(w.message("PUT", s.path("hostile/x"), []byte(`{"value":`+"\n}")),
			w.message("PUT", s.path(fmt.Sprintf("hostile/behind/%d", n)), bodyOf(s.value("behind"), false, "")))
		if err := w.send(m, "PUT", 400); err != nil {
			return err
		}
		_, _, err := w.receive("PUT")
		return err
	}},
	{"pipelined in two segments", func(s *suite, w *wire, n int) error {
		path := s.path(fmt.Sprintf("hostile/split/%d", n))
		m := slices.Concat(w.message("GET", s.path("hostile/x"), nil), w.message("PUT", path, bodyOf(s.value("split"), false, "")))
		if _, err := w.Write(m[:len(m)-20]); err != nil {
			return err
		}
		if _, _, err := w.receive("GET"); err != nil {
			return err
		}
		return w.send(m[len(m)-20:], "PUT", 201)
	}},
	{"Expect: 100-continue", func(s *suite, w *wire, n int) error {
		m := w.message("PUT", s.path(fmt.Sprintf("hostile/expect/%d", n)), bodyOf(s.value("expected"), false, ""), "Expect: 100-continue")
		head := bytes.Index(m, headEnd) + len(headEnd)
		if err := w.send(m[:head], "PUT", 100); err != nil {
			return err
		}
		return w.send(m[head:], "PUT", 201)
	}},
	{"HEAD", func(s *suite, w *wire, n int) error {
		path := s.path(fmt.Sprintf("hostile/head/%d", n))
		if err := w.put(path, s.value("head"), 0); err != nil {
			return err
		}
		return w.send(w.message("HEAD", path, nil), "HEAD", 0)
	}},
	{"twice under one request token", func(s *suite, w *wire, n int) error {
		path, value := s.path(fmt.Sprintf("hostile/token/%d", n)), s.value("idempotent")
		token := fmt.Sprintf(`,"requestToken":"00000000-0000-4000-8000-%012d"`, n)
		for _, want := range []int{201, 200} {
			// The second answer may say what the first one did.
			if err := w.send(w.message("PUT", path, bodyOf(value, false, token)), "PUT", 0); err != nil {
				return fmt.Errorf("want %d: %w", want, err)
			}
		}
		return w.send(w.message("PUT", path, bodyOf(s.value("conflicting"), false, token)), "PUT", 409)
	}},
	{"create and rotate", func(s *suite, w *wire, n int) error {
		name := fmt.Sprintf("created-%d", n)
		secrets := tenantPath(s.tenant) + "/secrets"
		if err := w.send(w.message("POST", secrets, bodyOf(s.value("created"), false, `,"name":"`+name+`"`)), "POST", 201); err != nil {
			return err
		}
		if err := w.send(w.message("POST", secrets, bodyOf(s.value("taken"), false, `,"name":"`+name+`"`)), "POST", 409); err != nil {
			return err
		}
		return w.send(w.message("POST", secrets+"/"+name+"/rotate", bodyOf(s.value("rotated"), false, "")), "POST", 200)
	}},
	{"refused by the business", func(s *suite, w *wire, n int) error {
		if err := w.send(w.message("PUT", s.path("bad name!{}"), bodyOf(s.value("bad name"), false, "")), "PUT", 400); err != nil {
			return err
		}
		return w.send(w.message("PUT", s.path("hostile/x"), bodyOf(s.value("bad field"), false, `,"rotationInterval":"8d"`)), "PUT", 400)
	}},
	{"two credentials", func(s *suite, w *wire, n int) error {
		return w.send(w.message("PUT", s.path("hostile/x"), bodyOf(s.value("two tokens"), false, ""), "Authorization: Bearer "+w.token), "PUT", 401)
	}},
	{"another scheme", func(s *suite, w *wire, n int) error {
		m := w.message("GET", s.path("hostile/x"), nil)
		return w.send(bytes.Replace(m, []byte("Bearer"), []byte("Basic"), 1), "GET", 401)
	}},
	{"credential in a header that nobody reads", func(s *suite, w *wire, n int) error {
		return w.send(w.message("GET", s.path("hostile/x"), nil, "Proxy-Authorization: Bearer "+w.token), "GET", 0)
	}},
	{"refused by net/http", func(s *suite, w *wire, n int) error { return s.refusedUnseen(n) }},
	{"header cut short", func(s *suite, w *wire, n int) error {
		m := w.message("GET", s.path("hostile/x"), nil)
		if _, err := w.Write(m[:len(m)-5-n%20]); err != nil {
			return err
		}
		time.Sleep(2 * time.Millisecond)
		return w.abort(n%2 == 0)
	}},
}

var headEnd = []byte("\r\n\r\n")

// hostile does everything so many times. Nothing comes after that could
// overwrite its traces.
func (s *suite) hostile(times int) {
	s.t.Helper()
	for _, h := range hostilities {
		for n := range times {
			w, err := s.dial(n)
			if err == nil {
				err = h.do(s, w, n)
			}
			if err != nil {
				s.t.Fatalf("hostile traffic: %s: %v", h.name, err)
			}
		}
	}
}

// storeAndRead stores a value and reads it, on a connection each.
func (s *suite) storeAndRead(w *wire, n int, value string, headers ...string) error {
	s.mu.Lock()
	path := s.path(fmt.Sprintf("hostile/value/%d", len(s.plants)))
	s.mu.Unlock()
	if err := w.send(w.message("PUT", path, bodyOf(value, n%2 == 0, ""), headers...), "PUT", 201); err != nil {
		return err
	}
	w, err := s.dial(n)
	if err != nil {
		return err
	}
	return w.send(w.message("GET", path, nil, headers...), "GET", 200)
}

// send sends bytes and expects an answer: of the given status, or with 0 of
// any. Instead of 401 it may be 429, once there were many.
func (w *wire) send(message []byte, method string, want int) error {
	if _, err := w.Write(message); err != nil {
		return err
	}
	status, body, err := w.receive(method)
	if err != nil {
		return err
	}
	if want == http.StatusUnauthorized && status == http.StatusTooManyRequests {
		return nil
	}
	if want != 0 && status != want {
		return fmt.Errorf("%s: status %d, want %d: %s", method, status, want, body)
	}
	return nil
}

// sendAll sends more than the server may want to take: it may answer and hang
// up in the middle.
func (w *wire) sendAll(message []byte) error {
	answered := make(chan error, 1)
	go func() {
		status, body, err := w.receive("PUT")
		if err == nil && status < 400 {
			err = fmt.Errorf("status %d: %s", status, body)
		}
		var broken *net.OpError
		if errors.As(err, &broken) {
			err = nil // it hung up
		}
		answered <- err
	}()
	w.Write(message)
	return <-answered
}

// chunked is a PUT whose body comes in chunks.
func (w *wire) chunked(path string, body []byte, size int) []byte {
	m := w.message("PUT", path, nil, "Content-Type: application/json", "Transfer-Encoding: chunked")
	for chunk := range slices.Chunk(body, size) {
		m = fmt.Appendf(m, "%x\r\n%s\r\n", len(chunk), chunk)
	}
	return append(m, "0\r\n\r\n"...)
}

// abort closes the connection, with a reset or in order.
func (w *wire) abort(reset bool) error {
	if tcp, ok := w.socket.(*net.TCPConn); ok && reset {
		tcp.SetLinger(0)
	}
	return w.socket.Close()
}
