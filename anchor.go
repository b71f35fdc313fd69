package fastness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

// ParseAnchor reads where checkpoints are sent: "file:PATH" appends them to a
// file, which should lie on another machine's disk; an https URL gets each as
// the text/plain body of a POST. Plain http is for loopback only.
func ParseAnchor(s string) (Anchor, error) {
	if path, ok := strings.CutPrefix(s, "file:"); ok && path != "" {
		return fileAnchor(path), nil
	}
	u, err := url.Parse(s)
	if err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname())) {
		return &httpAnchor{url: s, client: &http.Client{Timeout: anchorTimeout}}, nil
	}
	return nil, fmt.Errorf("audit anchor must be file:PATH or an https URL")
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// anchorTimeout is far below the ten seconds between checkpoints, so that a
// dead anchor does not hold them up.
const anchorTimeout = 5 * time.Second

// fileAnchor appends checkpoints to a file, an empty line between them.
type fileAnchor string

func (f fileAnchor) Publish(_ context.Context, checkpoint []byte) error {
	file, err := os.OpenFile(string(f), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(append(checkpoint[:len(checkpoint):len(checkpoint)], '\n')); err != nil {
		return err
	}
	return file.Sync()
}

type httpAnchor struct {
	url    string
	client *http.Client
}

func (h *httpAnchor) Publish(ctx context.Context, checkpoint []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(checkpoint))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := h.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	const enough = 4 << 10 // to reuse the connection after a short answer
	if _, err := io.CopyN(io.Discard, resp.Body, enough); err != nil && err != io.EOF {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("anchor answered %s", resp.Status)
	}
	return nil
}
