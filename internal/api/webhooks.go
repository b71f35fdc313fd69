package api

import (
	"net/http"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

const (
	webhooksPath = tenantPath + "/webhooks"
	webhookPath  = webhooksPath + "/{id}"
)

// webhookRoutes are about where a tenant's events are sent.
var webhookRoutes = []*Route{
	{Method: post, Pattern: webhooksPath, Summary: "Have events sent to a URL",
		Body: smallBody, Action: audit.WebhookCreate,
		Request: "WebhookCreateRequest", Response: "WebhookCreated", Success: created, handle: createWebhook},
	{Method: get, Pattern: webhooksPath, Summary: "List a tenant's webhooks",
		Action: audit.WebhookList, Response: "WebhookList", handle: listWebhooks},
	{Method: get, Pattern: webhookPath, Summary: "Describe a webhook, and how its deliveries go",
		Action: audit.WebhookList, Response: "Webhook", handle: getWebhook},
	{Method: patch, Pattern: webhookPath, Summary: "Change a webhook, pause it, or take it up again",
		Body: smallBody, Action: audit.WebhookUpdate,
		Request: "WebhookUpdateRequest", Response: "Webhook", Failures: conflict, handle: updateWebhook},
	{Method: del, Pattern: webhookPath, Summary: "End a webhook",
		Action: audit.WebhookDelete, Success: noContent, Failures: conflict, handle: deleteWebhook},
	{Method: post, Pattern: webhookPath + "/test", Summary: "Send a test event",
		Action: audit.WebhookTest, Response: "Webhook", Failures: conflict, handle: testWebhook},
}

func createWebhook(c *call) error {
	var r wire.WebhookCreateRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return reject(err)
	}
	made, err := c.session().Webhooks().Create(c.context(), vault.WebhookSpec{URL: r.URL, Prefix: r.Prefix, Types: eventTypes(r.Types)})
	if err != nil {
		return err
	}
	defer made.SigningSecret.Release()
	return c.reply(http.StatusCreated, wire.WebhookCreated{Webhook: webhookOf(made.Webhook), SigningSecret: made.SigningSecret})
}

func listWebhooks(c *call) error {
	all, err := c.session().Webhooks().List(c.context())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ListOf(all, webhookOf, ""))
}

func getWebhook(c *call) error { return c.webhook(c.session().Webhooks().Get(c.context(), c.id)) }

func updateWebhook(c *call) error {
	var r wire.WebhookUpdateRequest
	if err := wire.Decode(c.body, &r); err != nil {
		return reject(err)
	}
	p := vault.WebhookPatch{URL: r.URL, Prefix: r.Prefix, Paused: r.Paused}
	if r.Types != nil {
		types := eventTypes(*r.Types)
		p.Types = &types
	}
	return c.webhook(c.session().Webhooks().Update(c.context(), c.id, p))
}

func deleteWebhook(c *call) error {
	if err := c.session().Webhooks().Delete(c.context(), c.id); err != nil {
		return err
	}
	return c.noContent()
}

func testWebhook(c *call) error { return c.webhook(c.session().Webhooks().Test(c.context(), c.id)) }

// webhook answers with a webhook, or with the error that stood in its way.
func (c *call) webhook(w vault.Webhook, err error) error {
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, webhookOf(w))
}

func eventTypes(words []string) []secret.EventType {
	types := make([]secret.EventType, len(words))
	for i, w := range words {
		types[i] = secret.EventType(w)
	}
	return types
}

func webhookOf(w vault.Webhook) wire.Webhook {
	types := make([]string, len(w.Types))
	for i, t := range w.Types {
		types[i] = string(t)
	}
	state := "active"
	switch {
	case w.GivenUp:
		state = "given_up"
	case w.Paused:
		state = "paused"
	case !w.Failing.IsZero():
		state = "failing"
	}
	return wire.Webhook{
		ID: w.ID, URL: w.URL, Prefix: w.Prefix, Types: types, State: state, At: w.At, Failures: w.Failures, Error: w.Error,
		Failing: w.Failing.UTC(), Next: w.Next.UTC(), Delivered: w.Delivered.UTC(), Created: w.Created.UTC(),
	}
}
