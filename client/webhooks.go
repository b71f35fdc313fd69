package client

import (
	"context"
	"net/http"

	"fastness/internal/wire"
)

// Webhook is what is told of a webhook.
type Webhook = wire.Webhook

// NewWebhook is a Webhook with the secret that signs its deliveries, which is not
// told again. The receiver releases it.
type NewWebhook = wire.WebhookCreated

// WebhookSpec is where events are sent, and which: all without types.
type WebhookSpec = wire.WebhookCreateRequest

// WebhookPatch changes some of a webhook; nil fields are left as they are.
type WebhookPatch = wire.WebhookUpdateRequest

// Webhooks is the handle to a tenant's webhooks.
type Webhooks struct{ session *Session }

// Webhooks returns the handle to the tenant's webhooks.
func (s *Session) Webhooks() *Webhooks { return &Webhooks{s} }

// Create has events sent to a URL from now on.
func (w *Webhooks) Create(ctx context.Context, spec WebhookSpec) (NewWebhook, error) {
	var made NewWebhook
	path, err := w.session.path(ctx, "webhooks")
	if err != nil {
		return made, err
	}
	_, err = w.session.client.encode(ctx, request{method: http.MethodPost, path: path}, spec, &made)
	return made, err
}

// List tells of all webhooks.
func (w *Webhooks) List(ctx context.Context) ([]Webhook, error) {
	var list wire.WebhookList
	path, err := w.session.path(ctx, "webhooks")
	if err != nil {
		return nil, err
	}
	_, err = w.session.client.decode(ctx, request{method: http.MethodGet, path: path, repeat: true}, &list)
	return list.Items, err
}

// Get tells of one webhook.
func (w *Webhooks) Get(ctx context.Context, id string) (Webhook, error) {
	return w.one(ctx, request{method: http.MethodGet, repeat: true}, nil, id)
}

// Update changes a webhook, pauses it, or takes it up again.
func (w *Webhooks) Update(ctx context.Context, id string, p WebhookPatch) (Webhook, error) {
	return w.one(ctx, request{method: http.MethodPatch, repeat: true}, p, id)
}

// Test has a test event sent. How it went is told by Get a moment later.
func (w *Webhooks) Test(ctx context.Context, id string) (Webhook, error) {
	return w.one(ctx, request{method: http.MethodPost, repeat: true}, nil, id, "test")
}

func (w *Webhooks) one(ctx context.Context, r request, body any, rest ...string) (hook Webhook, err error) {
	if r.path, err = w.session.path(ctx, append([]string{"webhooks"}, rest...)...); err != nil {
		return hook, err
	}
	if body == nil {
		_, err = w.session.client.decode(ctx, r, &hook)
	} else {
		_, err = w.session.client.encode(ctx, r, body, &hook)
	}
	return hook, err
}

// Delete ends a webhook.
func (w *Webhooks) Delete(ctx context.Context, id string) error {
	path, err := w.session.path(ctx, "webhooks", id)
	if err != nil {
		return err
	}
	return w.session.client.discard(ctx, request{method: http.MethodDelete, path: path, repeat: true})
}
