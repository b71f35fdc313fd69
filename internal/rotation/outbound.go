package rotation

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"fastness/internal/secretbuf"
)

// Client returns a client for requests to addresses that tenants name: it reaches
// only what webhooks may, follows only redirects that webhooks may, and believes
// certificates of roots; nil for the system's.
func (n Network) Client(timeout time.Duration, roots *x509.CertPool) *http.Client {
	return &http.Client{Transport: n.transport(roots), CheckRedirect: checkRedirect, Timeout: timeout}
}

// Sign adds the headers of Standard Webhooks to a request: v1 is the base64 of
// HMAC-SHA-256(key, id.timestamp.body).
func Sign(request *http.Request, key *secretbuf.Buffer, id string, now time.Time, body []byte) {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	request.Header.Set("Webhook-Id", id)
	request.Header.Set("Webhook-Timestamp", timestamp)
	request.Header.Set("Webhook-Signature", "v1,"+signature(key, id, timestamp, body))
}

// Reason is what may be told of a request that was not answered.
func Reason(err error) string {
	return fmt.Sprintf("%s: %v", ClassOf(webhookError(err)), webhookError(err))
}
