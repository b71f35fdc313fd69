package client

import (
	"context"
	"io"
	"net"
	"time"
)

// SetSleep replaces the pauses between attempts.
func (c *Client) SetSleep(f func(context.Context, time.Duration) error) { c.sleep = f }

// Wiping is the connection that the transport's dialers return.
func Wiping(c net.Conn) net.Conn { return &wipingConn{c, func(f func()) { f() }} }

// Keeping reports whether the cache hears of changes.
func (c *Cache) Keeping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keeping
}

// Changes is how many changes the cache has heard of.
func (c *Cache) Changes() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changes
}

// SetNow replaces the cache's clock.
func (c *Cache) SetNow(f func() time.Time) { c.now = f }

// Lent is a request's body, lent to an attempt that end ends.
func Lent(body []byte) (r io.ReadCloser, end func()) {
	l := &lending{}
	return l.reader(body), l.end
}
