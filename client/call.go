package client

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

const (
	prefix = "/api/v1"
	// maxReply bounds a reply: a page of 500 secrets with all metadata full is
	// some 12 MiB.
	maxReply = 32 << 20
	// firstPause and longestPause bound the pauses between attempts, each
	// drawn at random up to a bound that doubles.
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
	// longestWait is the longest that a server may ask for and still be asked
	// again: who has to wait longer should hear why instead.
	longestWait = 10 * time.Second
)

// request is one call of the API.
type request struct {
	method string
	path   []string // segments, not yet encoded
	query  url.Values
	body   *secretbuf.Buffer // borrowed; nil for none
	repeat bool              // sending it twice is as good as once
	long   bool              // bounded by the context alone
}

// answer is a successful reply.
type answer struct {
	status int
	body   *secretbuf.Buffer
}

// call sends the request, again where that is right, and returns the whole
// reply. The caller releases its body.
func (c *Client) call(ctx context.Context, r request) (*answer, error) {
	if !r.long {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.config.Timeout)
		defer cancel()
	}
	response, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := secretbuf.ReadAll(response.Body, maxReply)
	if err != nil {
		return nil, fmt.Errorf("reading the reply: %w", err)
	}
	if c.config.OnReply != nil && body.Len() > 0 {
		c.config.OnReply(body.Bytes())
	}
	return &answer{response.StatusCode, body}, nil
}

// decode calls and reads the reply's body into dst.
func (c *Client) decode(ctx context.Context, r request, dst any) (status int, err error) {
	a, err := c.call(ctx, r)
	if err != nil {
		return 0, err
	}
	defer a.body.Release()
	if err := wire.DecodeReply(a.body, dst); err != nil {
		return 0, fmt.Errorf("reading the reply: %w", err)
	}
	return a.status, nil
}

// withBody adds a body made from v to a request.
func withBody(r request, v any) (_ request, release func(), err error) {
	var b secretbuf.Builder
	defer b.Release()
	if err := wire.Append(&b, v); err != nil {
		return r, nil, err
	}
	r.body = b.Buffer()
	return r, r.body.Release, nil
}

// encode is decode for a request with a body made from v.
func (c *Client) encode(ctx context.Context, r request, v, dst any) (status int, err error) {
	r, release, err := withBody(r, v)
	if err != nil {
		return 0, err
	}
	defer release()
	return c.decode(ctx, r, dst)
}

// discard calls for the effect alone.
func (c *Client) discard(ctx context.Context, r request) error {
	a, err := c.call(ctx, r)
	if err == nil {
		a.body.Release()
	}
	return err
}

// send returns the response of the first attempt that succeeds. The error of a
// response is an *Error.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	for attempt := 0; ; attempt++ {
		response, err := c.attempt(ctx, r)
		if err == nil {
			return response, nil
		}
		if attempt >= c.config.Retries || !again(err, r.repeat) || ctx.Err() != nil {
			return nil, err
		}
		if c.sleep(ctx, pause(err, attempt)) != nil {
			return nil, err // which says more than that time ran out
		}
	}
}

func (c *Client) attempt(ctx context.Context, r request) (*http.Response, error) {
	var body lending
	defer body.end()
	req, err := c.request(ctx, r, &body)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(req)
	if err != nil {
		// *url.Error around it would repeat the URL, names and all.
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return nil, fmt.Errorf("calling the server: %w", err)
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		defer response.Body.Close()
		return nil, errorOf(response)
	}
	return response, nil
}

func (c *Client) request(ctx context.Context, r request, body *lending) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, c.url(r), nil)
	if err != nil {
		return nil, errors.New("making the request: the address is not valid")
	}
	if r.body != nil {
		req.ContentLength = int64(r.body.Len())
		req.GetBody = func() (io.ReadCloser, error) {
			return body.reader(r.body.Bytes()), nil
		}
		req.Body, _ = req.GetBody()
		req.Header.Set("Content-Type", "application/json")
	}
	if r.repeat && r.method != http.MethodGet {
		// Tells net/http, and nobody else, that it may send the request again
		// when a kept connection turns out to be closed.
		req.Header["Idempotency-Key"] = nil
	}
	if bearer := c.bearer(); bearer != "" {
		req.Header["Authorization"] = []string{bearer}
	}
	req.Header.Set("User-Agent", c.config.UserAgent)
	return req, nil
}

// url encodes each segment of the path on its own, so that a name with
// slashes stays one segment.
func (c *Client) url(r request) string {
	var b strings.Builder
	b.WriteString(c.base)
	b.WriteString(prefix)
	for _, segment := range r.path {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(segment))
	}
	if len(r.query) > 0 {
		b.WriteByte('?')
		b.WriteString(r.query.Encode())
	}
	return b.String()
}

// again reports whether an attempt that failed this way may be followed by
// another: always if the server cannot have acted, otherwise if acting twice
// does no harm.
func again(err error, repeat bool) bool {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return true
	}
	var refused *Error
	if errors.As(err, &refused) {
		if refused.RetryAfter > longestWait {
			return false
		}
		switch refused.Status {
		case http.StatusTooManyRequests:
			return true
		case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
			return repeat
		}
		return false
	}
	return repeat && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// pause is how long to wait after the attempt: a random time, so that many
// clients do not come back together, and no less than the server asked for.
func pause(err error, attempt int) time.Duration {
	bound := min(firstPause<<min(attempt, 10), longestPause)
	wait := upTo(bound)
	var refused *Error
	if errors.As(err, &refused) {
		wait += refused.RetryAfter
	}
	return wait
}

// upTo is a random time up to a bound.
func upTo(bound time.Duration) time.Duration {
	var random [8]byte
	rand.Read(random[:])
	return time.Duration(binary.LittleEndian.Uint64(random[:])%uint64(bound)) + 1
}

func sleep(ctx context.Context, d time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return context.DeadlineExceeded
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
