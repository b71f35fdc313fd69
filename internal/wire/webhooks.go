package wire

import (
	"time"

	"fastness/internal/secretbuf"
)

// WebhookList is the list of a tenant's webhooks.
type WebhookList = List[Webhook]

// WebhookCreateRequest makes a webhook.
type WebhookCreateRequest struct {
	URL    string   `json:"url"`
	Prefix string   `json:"prefix,omitzero"`
	Types  []string `json:"types,omitzero"` // of events; absent: all
}

// WebhookUpdateRequest changes some of a webhook. What is absent is left as it is.
type WebhookUpdateRequest struct {
	URL    *string   `json:"url,omitzero"`
	Prefix *string   `json:"prefix,omitzero"`
	Types  *[]string `json:"types,omitzero"`
	Paused *bool     `json:"paused,omitzero"` // false also takes deliveries up again that were given up
}

// Webhook is what is told of a webhook.
type Webhook struct {
	ID        string    `json:"id"`
	URL       string    `json:"url"`
	Prefix    string    `json:"prefix,omitzero"`
	Types     []string  `json:"types"` // empty: all
	State     string    `json:"state"` // active, failing, paused or given_up
	At        int64     `json:"at"`    // position in the tenant's log up to which all was delivered
	Failures  int       `json:"failures,omitzero"`
	Error     string    `json:"error,omitzero"` // of the last attempt
	Failing   time.Time `json:"failingSince,omitzero"`
	Next      time.Time `json:"nextAttempt,omitzero"`
	Delivered time.Time `json:"lastDelivered,omitzero"`
	Created   time.Time `json:"created"`
}

// WebhookCreated is the reply to making a webhook, with the secret that signs its
// deliveries, which is never told again. Encode it with Append alone.
type WebhookCreated struct {
	Webhook
	SigningSecret *secretbuf.Buffer `json:"signingSecret"`
}
