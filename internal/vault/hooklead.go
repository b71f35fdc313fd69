package vault

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
)

const (
	// webhookLease is held by the one node that delivers.
	webhookLease = "webhooks"
	// WebhookLease is how long it outlives a node that died. A delivery takes less.
	WebhookLease = 60 * time.Second
)

// WebhookTenant is a tenant that has webhooks.
type WebhookTenant struct {
	ID   secret.TenantID
	Name secret.TenantName
	Last int64 // entry of its log
}

// WebhookTenants lists the active tenants that have webhooks. It costs nothing for
// all others.
func (v *Vault) WebhookTenants(ctx context.Context) (found []WebhookTenant, err error) {
	err = v.store.View(ctx, func(r store.Reader) error {
		found = nil
		_, ids, err := documents[secret.TenantID](r, secret.TenantID{}, webhookTenantKind, "", v.now())
		if err != nil || len(ids) == 0 {
			return err
		}
		var names []secret.TenantName
		for _, id := range ids {
			t, err := r.Tenants().Tenant(id)
			if err != nil {
				return err
			}
			if t.State == store.Active {
				found, names = append(found, WebhookTenant{ID: t.ID, Name: t.Name}), append(names, t.Name)
			}
		}
		heads, err := r.Log().Heads(names)
		for i := range found {
			found[i].Last = int64(heads[found[i].Name].Seq)
		}
		return err
	})
	return found, v.answer(err)
}

// WebhookLead is the handle of the one who delivers to all webhooks, good for as
// long as it holds the deployment's lease: whoever has lost it stores nothing, and
// gets store.ErrFenced.
type WebhookLead struct {
	vault *Vault
	fence int64
}

// LeadWebhooks takes the lease for deliveries, or renews it; store.ErrFenced while
// another node has it.
func (v *Vault) LeadWebhooks(ctx context.Context) (*WebhookLead, error) {
	l := &WebhookLead{vault: v}
	err := v.store.Update(ctx, func(tx store.Tx) (err error) {
		l.fence, err = tx.Leases().Acquire(webhookLease, v.journal.node, v.now(), WebhookLease)
		return err
	})
	return settled(l, err)
}

// Webhooks reads a tenant's webhooks. A tenant that has none any more is forgotten.
func (l *WebhookLead) Webhooks(ctx context.Context, t WebhookTenant) (all []Webhook, err error) {
	err = l.vault.store.View(ctx, func(r store.Reader) error {
		all, _, err = l.vault.webhooksOf(r, t.ID)
		return err
	})
	if err == nil && len(all) == 0 {
		err = l.vault.store.Update(ctx, func(tx store.Tx) error { return l.forget(tx, t.ID) })
	}
	return all, l.vault.answer(err)
}

func (l *WebhookLead) forget(tx store.Tx, t secret.TenantID) error {
	if err := tx.Leases().Check(webhookLease, l.fence); err != nil {
		return err
	}
	rows, err := tx.Documents().Documents(t, webhookKind, "", "", 1)
	if err != nil || len(rows) > 0 {
		return err // one was made meanwhile
	}
	return tx.EditDocuments().Delete(secret.TenantID{}, webhookTenantKind, t.String())
}

// Events reads what a webhook is to be told next, and the position that it has
// reached when it has been: after some entries of the log, or at its end. A
// position too far back is as if it were as far back as may be.
func (l *WebhookLead) Events(ctx context.Context, t WebhookTenant, hook Webhook) (events []secret.Event, at int64, err error) {
	from := max(hook.At, t.Last-maxReplay)
	events, at, err = l.vault.scanEvents(ctx, t.Name, from)
	if err != nil {
		return nil, hook.At, l.vault.answer(err)
	}
	q := EventQuery{Prefix: hook.Prefix, Types: hook.Types}
	events = slices.DeleteFunc(events, func(e secret.Event) bool { return !q.Match(e) })
	err = l.vault.store.View(ctx, func(r store.Reader) error {
		row, err := r.Tenants().Tenant(t.ID)
		if err != nil {
			return err
		}
		j, err := l.vault.Session(l.vault.system(), t.Name).ruler(r, row)
		for i := 0; err == nil && i < len(events); i++ {
			_, err = j.complete(r, row, &events[i])
		}
		return err
	})
	return events, at, l.vault.answer(err)
}

// SigningKey opens the key that signs a webhook's deliveries: what its signing
// secret stands for. The caller releases it.
func (l *WebhookLead) SigningKey(ctx context.Context, t WebhookTenant, id string) (key *secretbuf.Buffer, err error) {
	err = l.vault.store.View(ctx, func(r store.Reader) error {
		d, err := r.Documents().Document(t.ID, webhookKind, id)
		if err != nil {
			return err
		}
		text, err := l.vault.openSealed(r, d)
		if err != nil {
			return err
		}
		defer text.Release()
		key, err = decodeSigningSecret(text)
		return err
	})
	return key, l.vault.answer(err)
}

// decodeSigningSecret is the inverse of encoding one: see newSigningSecret.
func decodeSigningSecret(text *secretbuf.Buffer) (*secretbuf.Buffer, error) {
	encoded := bytes.TrimPrefix(text.Bytes(), []byte(signingSecretPrefix))
	key := secretbuf.New(base64.StdEncoding.DecodedLen(len(encoded)))
	n, err := base64.StdEncoding.Decode(key.Bytes(), encoded)
	if err != nil {
		key.Release()
		return nil, secret.ErrDecryption.With(errors.New("a signing secret is not in its form"))
	}
	key.Truncate(n)
	return key, nil
}

// Save stores how deliveries go, if the webhook is still there. What somebody has
// asked for or changed meanwhile is kept. Giving up is an entry in the log.
func (l *WebhookLead) Save(ctx context.Context, t WebhookTenant, id string, before, after WebhookState) error {
	v := l.vault
	return v.answer(v.store.Update(ctx, func(tx store.Tx) error {
		if err := tx.Leases().Check(webhookLease, l.fence); err != nil {
			return err
		}
		_, hook, err := v.webhook(tx, t.ID, id)
		if errors.Is(err, secret.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		state := after
		state.Asked = hook.Asked && !before.Asked
		if hook.Failures < before.Failures { // taken up again by hand
			state.Failures, state.Failing, state.GivenUp, state.Next = hook.Failures, hook.Failing, hook.GivenUp, hook.Next
		}
		if state.GivenUp && !hook.GivenUp {
			e := v.system().entry(v, audit.WebhookUpdate)
			e.TenantID, e.Detail = t.Name, "webhook "+id+" given up"
			e.Result, e.Error = audit.Failed, state.Error
			record, err := audit.NewRecord(e)
			if err != nil {
				return err
			}
			tx.Audit(record)
		}
		return v.putWebhookState(tx, t.ID, id, state)
	}))
}
