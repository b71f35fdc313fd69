package sigv4_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fastness/internal/awsapi/sigv4"
	"fastness/internal/secretbuf"
)

// The suite's credentials.
const (
	suiteKeyID  = "AKIDEXAMPLE"
	suiteSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

var suiteTime = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

// signedRequest is a file of the suite.
type signedRequest struct {
	sigv4.Request
	body string
}

// readSuite reads a request by hand: net/http refuses or mends some of them.
func readSuite(t *testing.T, name string) (r signedRequest) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(text), "\n\n")
	lines := strings.Split(head, "\n")
	first := strings.TrimSuffix(lines[0], " HTTP/1.1")
	r.Method, r.Target, _ = strings.Cut(first, " ")
	r.body, r.Header, r.Length = body, http.Header{}, int64(len(body))
	last := ""
	for _, line := range lines[1:] {
		if strings.HasPrefix(line, " ") { // folded, which the suite takes for another value
			r.Header.Add(last, line)
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		last = http.CanonicalHeaderKey(name)
		if last == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(last, value)
	}
	return r
}

// verify goes all the way that a server goes.
func (r signedRequest) verify(service, secret string, now time.Time, secure bool) error {
	_, query, _ := strings.Cut(r.Target, "?")
	s, err := sigv4.Parse(r.Header, query)
	if err != nil {
		return err
	}
	if err := s.Check(r.Header, service, now); err != nil {
		return err
	}
	body := secretbuf.Take([]byte(r.body))
	defer body.Release()
	if r.Payload, err = sigv4.Payload(r.Header, body, secure); err != nil {
		return err
	}
	half := secretbuf.Take([]byte(secret))
	defer half.Release()
	key := s.Scope.SigningKey(half)
	defer key.Release()
	if !s.Verify(key.Bytes(), s.StringToSign(r.Request)) {
		return sigv4.ErrMismatch
	}
	return nil
}

func (r signedRequest) clone() signedRequest {
	r.Header = r.Header.Clone()
	return r
}

func TestSuite(t *testing.T) {
	files, err := filepath.Glob("testdata/suite/*.txt")
	if err != nil || len(files) != 20 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			r := readSuite(t, file)
			if strings.Contains(file, "session-token") {
				if err := r.verify("service", suiteSecret, suiteTime, false); !isType(err, "UnrecognizedClientException") {
					t.Errorf("a session token: %v", err)
				}
				return
			}
			if err := r.verify("service", suiteSecret, suiteTime, false); err != nil {
				t.Error(err)
			}
			if err := r.verify("service", suiteSecret+"x", suiteTime, false); !errors.Is(err, sigv4.ErrMismatch) {
				t.Errorf("another secret: %v", err)
			}
			other := r.clone()
			other.Method = "PUT"
			if err := other.verify("service", suiteSecret, suiteTime, false); !errors.Is(err, sigv4.ErrMismatch) {
				t.Errorf("another method: %v", err)
			}
			other = r.clone()
			other.body += "x"
			if err := other.verify("service", suiteSecret, suiteTime, false); !isType(err, "InvalidSignatureException") {
				t.Errorf("another body: %v", err)
			}
		})
	}
}

func isType(err error, want string) bool {
	var e *sigv4.Error
	return errors.As(err, &e) && e.Type == want
}

// TestSigningKey is the example in AWS's documentation, "Examples of how to
// derive a signing key for Signature Version 4".
func TestSigningKey(t *testing.T) {
	half := secretbuf.Take([]byte("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))
	defer half.Release()
	key := sigv4.Scope{Date: "20120215", Region: "us-east-1", Service: "iam"}.SigningKey(half)
	defer key.Release()
	want := []byte{0xf4, 0x78, 0x0e, 0x2d, 0x9f, 0x65, 0xfa, 0x89, 0x5f, 0x9c, 0x67, 0xb3, 0x2c, 0xe1, 0xba, 0xf0,
		0xb0, 0xd8, 0xa4, 0x35, 0x05, 0xa0, 0x00, 0xa1, 0xa9, 0xe0, 0x90, 0xd4, 0x14, 0xdb, 0x40, 0x4d}
	expected := secretbuf.Take(want)
	defer expected.Release()
	if !secretbuf.Equal(key, expected) {
		t.Error("the derived key is another one")
	}
}

func TestRefusals(t *testing.T) {
	const (
		missing    = "MissingAuthenticationTokenException"
		incomplete = "IncompleteSignatureException"
		invalid    = "InvalidSignatureException"
		unknown    = "UnrecognizedClientException"
	)
	base := readSuite(t, "testdata/suite/post-vanilla.txt")
	auth := base.Header.Get("Authorization")
	set := func(name, value string) func(*signedRequest) {
		return func(r *signedRequest) { r.Header.Set(name, value) }
	}
	replaced := func(old, new string) func(*signedRequest) {
		return set("Authorization", strings.Replace(auth, old, new, 1))
	}
	tests := []struct {
		name   string
		change func(*signedRequest)
		want   string
	}{
		{"no header", func(r *signedRequest) { r.Header.Del("Authorization") }, missing},
		{"empty header", set("Authorization", " "), missing},
		{"two headers", func(r *signedRequest) { r.Header.Add("Authorization", auth) }, incomplete},
		{"bearer", set("Authorization", "Bearer abc"), incomplete},
		{"other algorithm", replaced("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), incomplete},
		{"algorithm alone", set("Authorization", "AWS4-HMAC-SHA256"), incomplete},
		{"no credential", replaced("Credential=", "Credentia="), incomplete},
		{"credential twice", set("Authorization", auth+", Credential=a"), incomplete},
		{"short credential", replaced("/us-east-1", ""), incomplete},
		{"long key id", replaced("AKIDEXAMPLE", strings.Repeat("A", 129)), incomplete},
		{"empty region", replaced("us-east-1", ""), incomplete},
		{"wrong end", replaced("aws4_request", "aws5_request"), incomplete},
		{"wrong service", replaced("/service/", "/s3/"), invalid},
		{"other region", replaced("us-east-1", "eu-west-1"), invalid},
		{"other day", replaced("20150830", "20150831"), invalid},
		{"unsorted headers", replaced("host;x-amz-date", "x-amz-date;host"), invalid},
		{"header twice", replaced("host;x-amz-date", "host;host;x-amz-date"), invalid},
		{"header in capitals", replaced("host;x-amz-date", "Host;x-amz-date"), invalid},
		{"host not signed", replaced("host;x-amz-date", "x-amz-date"), invalid},
		{"date not signed", replaced("host;x-amz-date", "host"), invalid},
		{"target not signed", set("X-Amz-Target", "secretsmanager.GetSecretValue"), invalid},
		{"no hexadecimal", set("Authorization", auth[:len(auth)-1]+"g"), invalid},
		{"short signature", set("Authorization", auth[:len(auth)-2]), invalid},
		{"capital signature", set("Authorization", auth[:len(auth)-64]+strings.ToUpper(auth[len(auth)-64:])), invalid},
		{"another host", func(r *signedRequest) { r.Host = "example.org" }, invalid},
		{"another path", func(r *signedRequest) { r.Target = "/x" }, invalid},
		{"a query", func(r *signedRequest) { r.Target = "/?a=b" }, invalid},
		{"no date", func(r *signedRequest) { r.Header.Del("X-Amz-Date") }, incomplete},
		{"broken date", set("X-Amz-Date", "20150830"), incomplete},
		{"broken fallback", func(r *signedRequest) { r.Header.Del("X-Amz-Date"); r.Header.Set("Date", "today") }, incomplete},
		{"two dates", func(r *signedRequest) { r.Header.Add("X-Amz-Date", "20150830T123600Z") }, incomplete},
		{"session token", set("X-Amz-Security-Token", "x"), unknown},
		{"presigned", func(r *signedRequest) {
			r.Header.Del("Authorization")
			r.Target = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00"
		}, incomplete},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := base.clone()
			test.change(&r)
			if err := r.verify("service", suiteSecret, suiteTime, false); !isType(err, test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}

func TestClock(t *testing.T) {
	r := readSuite(t, "testdata/suite/get-utf8.txt")
	for _, test := range []struct {
		off  time.Duration
		want string
	}{
		{0, ""}, {sigv4.MaxSkew, ""}, {-sigv4.MaxSkew, ""},
		{sigv4.MaxSkew + time.Second, "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"},
		{-sigv4.MaxSkew - time.Second, "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"},
	} {
		err := r.verify("service", suiteSecret, suiteTime.Add(test.off), false)
		var e *sigv4.Error
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%v off: %v", test.off, err)
		case test.want != "" && (!errors.As(err, &e) || e.Message != test.want || e.Type != "InvalidSignatureException"):
			t.Errorf("%v off: %v, want %q", test.off, err, test.want)
		}
	}
}

// TestUnsignedPayload: only what TLS carries may go without a hash.
func TestUnsignedPayload(t *testing.T) {
	h := http.Header{"X-Amz-Content-Sha256": {sigv4.UnsignedPayload}}
	body := secretbuf.Take([]byte("x"))
	defer body.Release()
	if got, err := sigv4.Payload(h, body, true); err != nil || got != sigv4.UnsignedPayload {
		t.Errorf("over TLS: %q, %v", got, err)
	}
	if _, err := sigv4.Payload(h, body, false); !isType(err, "InvalidSignatureException") {
		t.Errorf("without TLS: %v", err)
	}
	h.Set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
	if _, err := sigv4.Payload(h, body, true); !isType(err, "InvalidSignatureException") {
		t.Errorf("in pieces: %v", err)
	}
	h.Add("X-Amz-Content-Sha256", sigv4.UnsignedPayload)
	if _, err := sigv4.Payload(h, body, true); !isType(err, "InvalidSignatureException") {
		t.Errorf("twice: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b", "20150830T123600Z", "/a/../b%20?x=%zz&&=")
	f.Add("AWS4-HMAC-SHA256 =,=,=", "", "?")
	f.Fuzz(func(t *testing.T, authorization, date, target string) {
		r := signedRequest{Request: sigv4.Request{Method: "POST", Target: target, Header: http.Header{"Authorization": {authorization}, "X-Amz-Date": {date}}}}
		if err := r.verify("service", suiteSecret, suiteTime, true); err != nil {
			var e *sigv4.Error
			if !errors.As(err, &e) {
				t.Errorf("another error: %v", err)
			}
		}
	})
}
