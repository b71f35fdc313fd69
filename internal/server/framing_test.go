package server_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"fastness/internal/server"
)

// FuzzHeaderEnd compares where the connection takes a header to end with where
// net/http does, whatever pieces it comes in. Nothing may be handed over that
// lies on both sides: it would be scrubbed although it belongs to the body or to
// the next request.
func FuzzHeaderEnd(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\nHost: x\n\n", "GET / HTTP/1.1\r\nHost: x\r\n\n",
		"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n \r\n\r\n",
		"GET / HTTP/1.1\r\nA: b\r\n\r\r\n\r\n", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
	} {
		f.Add(seed, uint8(3))
	}
	f.Fuzz(func(t *testing.T, text string, piece uint8) {
		rest := strings.TrimLeft(text, "\r\n") // which net/http passes over
		in := bufio.NewReader(strings.NewReader(rest))
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		left, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		header := rest[:len(rest)-len(left)]
		for _, step := range []int{len(rest), int(piece)%len(rest) + 1, 1} {
			var f server.Framing
			for at := 0; at < len(header); {
				n := f.Take([]byte(rest[at:min(at+step, len(rest))]))
				if at += n; n == 0 || at > len(header) {
					t.Fatalf("%q in steps of %d: %d handed over of a header of %d", rest, step, at, len(header))
				}
			}
		}
	})
}

// TestCredentialsAreTaken cuts headers anywhere.
func TestCredentialsAreTaken(t *testing.T) {
	for header, want := range map[string][]string{
		"GET / HTTP/1.1\r\nAuthorization: Bearer a:b\tc\r\nX: y\r\n\r\n":                        {"Bearer a:b\tc"},
		"GET / HTTP/1.1\nAUTHORIZATION:x \nX: y\nauthorization:  z\n\n":                         {"x", "z"},
		"GET / HTTP/1.1\r\nAuthorization:\r\n\r\n":                                              {""},
		"GET / HTTP/1.1\r\nAuthorization: a\r\n b\r\n\tc\r\nX: y\r\n d\r\n\r\n":                 {"a b\tc"},
		"GET / HTTP/1.1\r\nAuthorizatio: a\r\nAuthorizations: b\r\nX: authorization: c\r\n\r\n": nil,
		"GET / HTTP/1.1\r\nAuthorization: " + strings.Repeat("long ", 500) + "\r\n\r\n":         {strings.TrimSpace(strings.Repeat("long ", 500))},
	} {
		for cut := 1; cut < len(header); cut++ {
			var f server.Framing
			text := []byte(header)
			f.Take(text[:cut])
			f.Take(text[cut:])
			if got := f.Credentials(); !slices.Equal(got, want) {
				t.Fatalf("%q cut at %d: %q, want %q", header, cut, got, want)
			}
			for _, v := range want {
				if len(v) > 1 && bytes.Contains(text, []byte(v)) {
					t.Fatalf("%q cut at %d: handed over as %q", header, cut, text)
				}
			}
			if len(want) == 0 && string(text) != header {
				t.Fatalf("%q cut at %d: changed to %q", header, cut, text)
			}
		}
	}
}

// TestFramingOfBodies counts bodies, between headers.
func TestFramingOfBodies(t *testing.T) {
	const header, body = "PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "\n\n\r\n\n"
	var f server.Framing
	stream := []byte(strings.Repeat(header+body, 3))
	var got bytes.Buffer
	for range 3 {
		n := f.Take(stream)
		got.Write(stream[:n])
		stream = stream[n:]
		f.Body(len(body))
		for n := range []int{2, 3} {
			n = f.Take(stream[:min(n+2, len(stream))])
			got.Write(stream[:n])
			stream = stream[n:]
		}
		if !f.AtStart() {
			t.Fatalf("after %q the next header does not begin", got.String())
		}
	}
	if got.String() != strings.Repeat(header+body, 3) {
		t.Errorf("handed over %q", got.String())
	}
}
