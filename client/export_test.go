package client

import (
	"context"
	"net"
	"time"
)

// SetSleep replaces the pauses between attempts.
func (c *Client) SetSleep(f func(context.Context, time.Duration) error) { c.sleep = f }

// Wiping is the connection that the transport's dialers return.
func Wiping(c net.Conn) net.Conn { return &wipingConn{c, func(f func()) { f() }} }
