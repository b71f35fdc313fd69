package rotation

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

const (
	// maxReply is the most bytes of a webhook's reply.
	maxReply = 64 << 10
	// maxRedirects is how many redirects are followed, all to https and with the
	// method and body kept.
	maxRedirects = 3
	// webhookTimeout is how long a step of a webhook takes unless the config says.
	webhookTimeout = 10
	minKey         = 16 // bytes of a signing key
)

// webhook has another program change the credential, in AWS's four steps. Each
// request is signed over its id, its time and its body; the id is the same
// whenever a step is repeated, so that the receiver can tell.
type webhook struct {
	url       string
	key       string // the name of the secret that holds the signing key; empty for none
	byTarget  bool   // the receiver stores the pending value
	rule      passwordRule
	timeout   time.Duration
	transport http.RoundTripper
	now       func() time.Time
}

func parseWebhook(config *secretbuf.Buffer, n Network) (Rotator, error) {
	c := struct {
		URL      string       `json:"url"`
		Key      string       `json:"signingKey"`
		Unsigned bool         `json:"unsigned"`
		Value    string       `json:"value"`
		Password passwordRule `json:"password"`
		Timeout  int          `json:"timeoutSeconds"`
		CA       string       `json:"caCertificate"`
	}{Timeout: webhookTimeout}
	if err := decodeConfig(config, &c); err != nil {
		return nil, err
	}
	if err := checkURL(c.URL, n); err != nil {
		return nil, err
	}
	if c.Unsigned && c.Key != "" {
		return nil, misconfigured("rotationConfig.unsigned", "it has no signingKey")
	}
	if _, err := secret.ParseName(c.Key); err != nil && !c.Unsigned {
		return nil, misconfigured("rotationConfig.signingKey", "the name of the secret that holds the signing key")
	}
	if err := choose("value", &c.Value, "generated", "receiver"); err != nil {
		return nil, err
	}
	if err := c.Password.complete("rotationConfig.password", "lower", "upper", "digits"); err != nil {
		return nil, err
	}
	if longest := int(stepTimeout / time.Second); c.Timeout < 1 || c.Timeout > longest {
		return nil, misconfigured("rotationConfig.timeoutSeconds", fmt.Sprintf("1 to %d", longest))
	}
	s, err := newSecurity(verifyFull, c.CA)
	if err != nil {
		return nil, err
	}
	return &webhook{c.URL, c.Key, c.Value == "receiver", c.Password, time.Duration(c.Timeout) * time.Second, n.transport(s.roots), time.Now}, nil
}

// Looks implements Looker.
func (w *webhook) Looks(*secretbuf.Buffer) ([]string, error) {
	if w.key == "" {
		return nil, nil
	}
	return []string{w.key}, nil
}

// checkURL wants https; plain http where private addresses are allowed, for
// receivers on the same machine.
func checkURL(text string, n Network) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxText || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && !(u.Scheme == "http" && n.PrivateWebhooks) {
		return misconfigured("rotationConfig.url", "https://host/path, without credentials")
	}
	return nil
}

// transport makes connections that nothing shares: a step is rare, and what
// one target keeps open is no business of the next.
func (n Network) transport(roots *x509.CertPool) http.RoundTripper {
	secured := &http.Transport{
		DialContext: n.dialWebhook, TLSClientConfig: security{mode: verifyFull, roots: roots}.config(""), TLSHandshakeTimeout: connectTimeout,
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 16 << 10, Proxy: nil,
	}
	plain := secured.Clone()
	plain.DialContext = n.dialPlain
	return byScheme{secured: secured, plain: plain}
}

// byScheme sends a request the way that its URL wants, also after a redirect.
type byScheme struct{ secured, plain http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b byScheme) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" {
		return b.secured.RoundTrip(r)
	}
	return b.plain.RoundTrip(r)
}

// event is AWS's rotation event.
type event struct {
	Step               string
	SecretID           string           `json:"SecretId"`
	ClientRequestToken secret.VersionID `json:"ClientRequestToken"`
	RotationToken      secret.VersionID `json:"RotationToken"`
}

// Check implements Rotator: any value will do.
func (w *webhook) Check(*secretbuf.Buffer) error { return nil }

// Announces implements Announcer: a receiver of AWS's events begins by looking
// whether the secret has a version of that token under AWSPENDING.
func (w *webhook) Announces() {}

// Make implements Rotator: createSecret. The value is generated here, or the
// receiver stores it under the job's token.
func (w *webhook) Make(ctx context.Context, j *Job) (*secretbuf.Buffer, error) {
	if err := w.send(ctx, j, "createSecret"); err != nil {
		return nil, err
	}
	if w.byTarget {
		return nil, ErrMadeElsewhere
	}
	return w.rule.generate(), nil
}

// Set implements Rotator: setSecret.
func (w *webhook) Set(ctx context.Context, j *Job) error { return w.send(ctx, j, "setSecret") }

// Finish implements Finisher: finishSecret. The labels are moved afterwards,
// also if the receiver has done so.
func (w *webhook) Finish(ctx context.Context, j *Job) error { return w.send(ctx, j, "finishSecret") }

// errUntestable is the answer to a question that AWS's protocol has no words for.
var errUntestable = errors.New("a webhook tests the pending credential only")

// Test implements Rotator: testSecret. Of other credentials than the pending
// one nothing can be known.
func (w *webhook) Test(ctx context.Context, j *Job, which Which) error {
	if which != Pending {
		return unreachable(errUntestable)
	}
	err := w.send(ctx, j, "testSecret")
	if errors.Is(err, ErrRefused) {
		return unverified(err)
	}
	return err
}

// Target implements Targeter.
func (w *webhook) Target(*secretbuf.Buffer) (string, error) {
	u, err := url.Parse(w.url)
	if err != nil {
		return "", misconfigured("rotationConfig.url", "https://host/path, without credentials")
	}
	return u.Host, nil
}

// send sends one step and waits for the answer.
func (w *webhook) send(ctx context.Context, j *Job, step string) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	body, err := json.Marshal(event{step, j.SecretID, j.Token, j.RotationToken})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return misconfigured("rotationConfig.url", "https://host/path, without credentials")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "fastness")
	if err := w.sign(ctx, j, request, step+"-"+string(j.Token), body); err != nil {
		return err
	}
	client := &http.Client{Transport: w.transport, CheckRedirect: checkRedirect}
	response, err := client.Do(request)
	if err != nil {
		return webhookError(err)
	}
	defer response.Body.Close()
	return judge(response)
}

// sign signs with the key that another secret holds: see Sign.
func (w *webhook) sign(ctx context.Context, j *Job, request *http.Request, id string, body []byte) error {
	request.Header.Set("Webhook-Id", id)
	if w.key == "" {
		return nil
	}
	key, err := j.lookup(ctx, w.key)
	if err != nil {
		return err
	}
	defer key.Release()
	if key.Len() < minKey {
		return misconfigured("rotationConfig.signingKey", fmt.Sprintf("its secret has at least %d bytes", minKey))
	}
	Sign(request, key, id, w.now(), body)
	return nil
}

func signature(key *secretbuf.Buffer, id, timestamp string, body []byte) (text string) {
	secretbuf.Do(func() {
		m := hmac.New(sha256.New, key.Bytes())
		fmt.Fprintf(m, "%s.%s.", id, timestamp)
		m.Write(body)
		text = base64.StdEncoding.EncodeToString(m.Sum(nil))
	})
	return text
}

// checkRedirect follows those that keep method and body. The address is looked
// at when it is connected to.
func checkRedirect(to *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects || to.Method != http.MethodPost || to.URL.User != nil || to.URL.Scheme != "https" && via[0].URL.Scheme == "https" {
		return errRedirect
	}
	return nil
}

var errRedirect = errors.New("a redirect that is not followed")

// webhookError is the class of a request without an answer.
func webhookError(err error) error {
	if errors.Is(err, errRedirect) {
		return refused(err, "the webhook redirects too often, to plain http or with another method")
	}
	return failure(err)
}

// judge reads the answer: 2xx with nothing or a JSON object is yes; 408, 429
// and 5xx may change; all else is no. What it says is not passed on.
func judge(r *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxReply+1))
	defer secretbuf.Wipe(body)
	switch code := r.StatusCode; {
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		return &Error{Unreachable, fmt.Sprintf("the webhook answers with status %d", code), nil}
	case code < 200 || code > 299:
		return refused(nil, "the webhook answers with status %d", code)
	case err != nil:
		return unreachable(err)
	case len(body) > maxReply:
		return refused(nil, "the webhook answers with more than %d bytes", maxReply)
	case len(bytes.TrimSpace(body)) > 0 && !isObject(body):
		return refused(nil, "the webhook answers with something other than a JSON object")
	}
	return nil
}

func isObject(body []byte) bool {
	return json.Valid(body) && bytes.HasPrefix(bytes.TrimSpace(body), []byte("{"))
}
