package vault

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

const (
	webhookKind = "webhook" // id: its own; sealed: the signing secret
	// webhookStateKind is how far deliveries are. It has an expiry, far away, so
	// that writing it is no change of who may do what: see store.Epochs.
	webhookStateKind = "webhookstate" // id: the webhook's
	// webhookTenantKind says that a tenant has webhooks, so that nobody looks at
	// those that have none.
	webhookTenantKind = "webhooktenant" // of the deployment; id: the tenant's
	webhookStateLife  = 10 * 365 * 24 * time.Hour

	// MaxWebhooks is how many webhooks a tenant may have.
	MaxWebhooks = 20
	// maxWebhookURL is the most bytes of a webhook's URL.
	maxWebhookURL = 2048
	// signingSecretPrefix is that of Standard Webhooks.
	signingSecretPrefix = "whsec_"
	signingSecretLen    = 32
)

// WebhookSpec is where events are sent, and which.
type WebhookSpec struct {
	URL    string             `json:"url"`
	Prefix string             `json:"prefix,omitzero"`
	Types  []secret.EventType `json:"types,omitempty"` // empty: all
	Paused bool               `json:"paused,omitzero"` // events wait
}

// WebhookPatch changes what is set.
type WebhookPatch struct {
	URL    *string
	Prefix *string
	Types  *[]secret.EventType
	// Paused, set to false, also takes up deliveries again that were given up.
	Paused *bool
}

func (p WebhookPatch) apply(s WebhookSpec) WebhookSpec {
	set(&s.URL, p.URL)
	set(&s.Prefix, p.Prefix)
	set(&s.Types, p.Types)
	set(&s.Paused, p.Paused)
	return s
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func (s WebhookSpec) check() error {
	u, err := url.Parse(s.URL)
	switch {
	case len(s.URL) > maxWebhookURL:
		return secret.Limited("url", fmt.Sprintf("at most %d bytes", maxWebhookURL))
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && !(u.Scheme == "http" && isLoopbackHost(u.Hostname())):
		return secret.Invalid("url", "https://host/path, without credentials; plain http on this machine only")
	case len(s.Prefix) > secret.MaxName:
		return secret.Limited("prefix", fmt.Sprintf("at most %d characters", secret.MaxName))
	}
	if err := secret.CheckLine("prefix", s.Prefix); err != nil {
		return err
	}
	words := make([]string, len(s.Types))
	for i, t := range s.Types {
		words[i] = string(t)
	}
	_, err = secret.ParseEventTypes("types", strings.Join(words, ","))
	return err
}

// isLoopbackHost reports whether a host is this machine by its very name. Whether
// it may be reached is decided when it is connected to.
func isLoopbackHost(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// WebhookState is how deliveries go.
type WebhookState struct {
	At        int64     `json:"at"`                 // position in the log up to which all was delivered
	Asked     bool      `json:"asked,omitzero"`     // somebody wants a test event to be sent
	Failures  int       `json:"failures,omitzero"`  // since the last success
	Failing   time.Time `json:"failing,omitzero"`   // since when; zero: it is not
	Next      time.Time `json:"next,omitzero"`      // attempt, if the last one failed
	Delivered time.Time `json:"delivered,omitzero"` // the last time
	Error     string    `json:"error,omitzero"`     // of the last attempt, in our own words
	GivenUp   bool      `json:"givenUp,omitzero"`
}

// Webhook is what is told of a webhook.
type Webhook struct {
	ID string
	WebhookSpec
	WebhookState
	Created time.Time
}

// NewWebhook is a Webhook with the secret that signs its deliveries, which is not
// told again. The receiver releases it.
type NewWebhook struct {
	Webhook
	SigningSecret *secretbuf.Buffer
}

// Webhooks is a caller's handle to a tenant's webhooks. Whoever manages the
// tenant's tokens manages them, for either lets somebody know of all events.
type Webhooks struct{ session *Session }

// Webhooks is the handle to the tenant's webhooks.
func (s *Session) Webhooks() *Webhooks { return &Webhooks{s} }

// Create adds a webhook, to which is sent what happens from now on.
func (w *Webhooks) Create(ctx context.Context, spec WebhookSpec) (NewWebhook, error) {
	v := w.session.vault
	made := NewWebhook{Webhook: Webhook{ID: identity.NewWebhookID(), WebhookSpec: spec}, SigningSecret: newSigningSecret()}
	err := w.change(ctx, audit.WebhookCreate, made.ID, func(tx store.Tx, t *store.Tenant, e *audit.Entry) error {
		if err := spec.check(); err != nil {
			return err
		}
		rows, err := tx.Documents().Documents(t.ID, webhookKind, "", "", MaxWebhooks)
		if err != nil {
			return err
		}
		if len(rows) >= MaxWebhooks {
			return secret.Limited("webhooks", fmt.Sprintf("at most %d", MaxWebhooks))
		}
		heads, err := tx.Log().Heads([]secret.TenantName{t.Name})
		if err != nil {
			return err
		}
		made.At, made.Created = int64(heads[t.Name].Seq), v.now()
		d := &store.Document{Owner: t.ID, Kind: webhookKind, ID: made.ID}
		if err := v.sealInto(tx, d, made.SigningSecret.Bytes()); err != nil {
			return err
		}
		if err := v.putDocument(tx, d, spec); err != nil {
			return err
		}
		e.Detail += spec.detail()
		return errors.Join(v.putWebhookState(tx, t.ID, made.ID, made.WebhookState), v.noteWebhookTenant(tx, t.ID))
	})
	if err != nil {
		made.SigningSecret.Release()
	}
	return settled(made, err)
}

// detail tells of a webhook in an entry. Of its URL only the host, for the rest
// may be a secret.
func (s WebhookSpec) detail() string {
	host := "nowhere"
	if u, err := url.Parse(s.URL); err == nil {
		host = u.Host
	}
	return fmt.Sprintf(": to %q, prefix %q, %d types, paused %t", host, s.Prefix, len(s.Types), s.Paused)
}

// newSigningSecret makes a secret in the form of Standard Webhooks.
func newSigningSecret() *secretbuf.Buffer {
	var b secretbuf.Builder
	defer b.Release()
	raw := secretbuf.New(signingSecretLen)
	defer raw.Release()
	rand.Read(raw.Bytes())
	b.Append([]byte(signingSecretPrefix)...)
	encoded := secretbuf.New(base64.StdEncoding.EncodedLen(signingSecretLen))
	defer encoded.Release()
	base64.StdEncoding.Encode(encoded.Bytes(), raw.Bytes())
	b.Append(encoded.Bytes()...)
	return b.Buffer()
}

// putWebhookState stores how far deliveries are.
func (v *Vault) putWebhookState(tx store.Tx, t secret.TenantID, id string, s WebhookState) error {
	d, err := tx.Documents().Document(t, webhookStateKind, id)
	if errors.Is(err, store.ErrAbsent) {
		d, err = &store.Document{Owner: t, Kind: webhookStateKind, ID: id, Expires: v.now().Add(webhookStateLife)}, nil
	}
	if err != nil {
		return err
	}
	return v.putDocument(tx, d, s)
}

// noteWebhookTenant notes that a tenant has webhooks.
func (v *Vault) noteWebhookTenant(tx store.Tx, t secret.TenantID) error {
	_, err := tx.Documents().Document(secret.TenantID{}, webhookTenantKind, t.String())
	if !errors.Is(err, store.ErrAbsent) {
		return err
	}
	return v.putDocument(tx, &store.Document{Kind: webhookTenantKind, ID: t.String()}, t)
}

func (w *Webhooks) change(ctx context.Context, a audit.Action, id string, f func(tx store.Tx, t *store.Tenant, e *audit.Entry) error) error {
	return w.session.editTenant(ctx, a, policy.ManageTokens, func(tx store.Tx, t *store.Tenant, e *audit.Entry) error {
		e.Detail = "webhook " + id
		return f(tx, t, e)
	})
}

// webhook reads one webhook; secret.ErrNotFound if there is none.
func (v *Vault) webhook(r store.Reader, t secret.TenantID, id string) (*store.Document, Webhook, error) {
	d, spec, err := document[WebhookSpec](r, t, webhookKind, id, v.now())
	if err != nil {
		return nil, Webhook{}, err
	}
	_, state, err := document[WebhookState](r, t, webhookStateKind, id, v.now())
	return d, Webhook{ID: id, WebhookSpec: spec, WebhookState: state, Created: d.Created}, err
}

// List tells of all webhooks of the tenant.
func (w *Webhooks) List(ctx context.Context) ([]Webhook, error) {
	var all []Webhook
	err := w.look(ctx, func(r store.Reader, t *store.Tenant) (err error) {
		all, _, err = w.session.vault.webhooksOf(r, t.ID)
		return err
	})
	return settled(all, err)
}

// webhooksOf reads a tenant's webhooks, with the documents that hold them.
func (v *Vault) webhooksOf(r store.Reader, t secret.TenantID) (all []Webhook, rows []*store.Document, err error) {
	rows, _, err = documents[WebhookSpec](r, t, webhookKind, "", v.now())
	all = []Webhook{}
	for i := 0; err == nil && i < len(rows); i++ {
		var hook Webhook
		if _, hook, err = v.webhook(r, t, rows[i].ID); err == nil {
			all = append(all, hook)
		}
	}
	return all, rows, err
}

// Get tells of one webhook.
func (w *Webhooks) Get(ctx context.Context, id string) (Webhook, error) {
	var found Webhook
	err := w.look(ctx, func(r store.Reader, t *store.Tenant) (err error) {
		_, found, err = w.session.vault.webhook(r, t.ID, id)
		return err
	})
	return settled(found, err)
}

func (w *Webhooks) look(ctx context.Context, f func(r store.Reader, t *store.Tenant) error) error {
	s := w.session
	err := s.vault.store.View(ctx, func(r store.Reader) error {
		t, err := s.administered(r)
		if err != nil {
			return err
		}
		if err := s.authorize(r, t, policy.ManageTokens); err != nil {
			return err
		}
		return f(r, t)
	})
	return s.vault.conclude(ctx, s.entry(audit.WebhookList, ""), err)
}

// Update changes a webhook. What waits is sent by the new rules.
func (w *Webhooks) Update(ctx context.Context, id string, p WebhookPatch) (Webhook, error) {
	v := w.session.vault
	var hook Webhook
	err := w.change(ctx, audit.WebhookUpdate, id, func(tx store.Tx, t *store.Tenant, e *audit.Entry) error {
		d, found, err := v.webhook(tx, t.ID, id)
		if err != nil {
			return err
		}
		hook = found
		hook.WebhookSpec = p.apply(hook.WebhookSpec)
		if err := hook.WebhookSpec.check(); err != nil {
			return err
		}
		e.Detail += hook.WebhookSpec.detail()
		if p.Paused != nil && !*p.Paused {
			hook.WebhookState = WebhookState{At: hook.At, Asked: hook.Asked, Delivered: hook.Delivered}
		}
		return errors.Join(v.putDocument(tx, d, hook.WebhookSpec), v.putWebhookState(tx, t.ID, id, hook.WebhookState))
	})
	return settled(hook, err)
}

// Delete ends a webhook. A delivery under way may still arrive.
func (w *Webhooks) Delete(ctx context.Context, id string) error {
	return w.change(ctx, audit.WebhookDelete, id, func(tx store.Tx, t *store.Tenant, _ *audit.Entry) error {
		if _, _, err := w.session.vault.webhook(tx, t.ID, id); err != nil {
			return err
		}
		return errors.Join(tx.EditDocuments().Delete(t.ID, webhookKind, id), tx.EditDocuments().Delete(t.ID, webhookStateKind, id))
	})
}

// Test has a test event sent, at once and also if the webhook is paused. How it
// went is in the webhook's state a moment later.
func (w *Webhooks) Test(ctx context.Context, id string) (Webhook, error) {
	v := w.session.vault
	var hook Webhook
	err := w.change(ctx, audit.WebhookTest, id, func(tx store.Tx, t *store.Tenant, _ *audit.Entry) (err error) {
		if _, hook, err = v.webhook(tx, t.ID, id); err != nil {
			return err
		}
		hook.Asked = true
		return v.putWebhookState(tx, t.ID, id, hook.WebhookState)
	})
	return settled(hook, err)
}
