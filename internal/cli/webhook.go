package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"fastness/client"
)

func (a *app) webhookCommand() *cobra.Command {
	return group("webhook", "Have events sent to a URL",
		a.webhookCreateCommand(), a.webhookListCommand(), a.webhookGetCommand(), a.webhookUpdateCommand(),
		a.webhookDeleteCommand(), a.webhookTestCommand())
}

func (a *app) webhookCreateCommand() *cobra.Command {
	var spec client.WebhookSpec
	cmd := a.command("create URL", "Have events sent to a URL", func(ctx context.Context, args []string) error {
		spec.URL = args[0]
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		made, err := s.Webhooks().Create(ctx, spec)
		if err != nil {
			return err
		}
		defer made.SigningSecret.Release()
		return a.answer(func(w io.Writer) error {
			fmt.Fprintf(w, "id:              %s\nurl:             %s\nsigning secret:  ", clean(made.ID), clean(made.URL))
			_, err1 := made.SigningSecret.WriteTo(w)
			_, err2 := io.WriteString(w, "\n")
			a.note("The signing secret is told only now.")
			return errors.Join(err1, err2)
		})
	})
	cmd.Long = `Have what happens to a tenant's secrets from now on sent to a URL, as CloudEvents in
order, each at least once. Deliveries are signed as Standard Webhooks say, with a
secret that is told once. A receiver that fails is tried again, ever later, for
three days.`
	cmd.Example = `fastness webhook create https://ops.shop.example/hooks/fastness --prefix shop/
fastness webhook create https://ops.shop.example/hooks/fastness --type fastness.rotation.failed,fastness.rotation.stuck --json`
	cmd.Flags().StringVar(&spec.Prefix, "prefix", "", "only of secrets whose names begin with `TEXT`")
	cmd.Flags().StringSliceVar(&spec.Types, "type", nil, "only events of this type (`TYPE`); give it several times")
	return cmd
}

func (a *app) webhookListCommand() *cobra.Command {
	cmd := a.command("list", "List a tenant's webhooks", func(ctx context.Context, _ []string) error {
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		all, err := s.Webhooks().List(ctx)
		if err != nil {
			return err
		}
		return a.answer(func(w io.Writer) error {
			if len(all) == 0 {
				a.note("no webhooks")
				return nil
			}
			t := newTable("ID", "STATE", "URL", "PREFIX", "DELIVERED")
			for _, h := range all {
				t.add(h.ID, h.State, h.URL, orDash(h.Prefix), orNever(h))
			}
			return t.flush(w)
		})
	})
	cmd.Long = "List a tenant's webhooks, and how their deliveries go."
	cmd.Example = "fastness webhook list"
	return cmd
}

func orNever(h client.Webhook) string {
	if h.Delivered.IsZero() {
		return "-"
	}
	return when(h.Delivered)
}

func (a *app) webhookGetCommand() *cobra.Command {
	cmd := a.command("get ID", "Show a webhook", func(ctx context.Context, args []string) error {
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		return a.answerWebhook(s.Webhooks().Get(ctx, args[0]))
	})
	cmd.Long = "Show a webhook: what it is told, how deliveries go, and why the last one failed."
	cmd.Example = "fastness webhook get whk_ab2c3d4e5f6g7h2i"
	return cmd
}

func (a *app) answerWebhook(h client.Webhook, err error) error {
	if err != nil {
		return err
	}
	return a.answer(func(w io.Writer) error {
		var s sheet
		s.add("id", h.ID)
		s.add("url", h.URL)
		s.add("state", h.State)
		s.add("prefix", h.Prefix)
		s.add("types", strings.Join(h.Types, ", "))
		s.add("delivered up to", fmt.Sprint(h.At))
		s.add("last delivered", orNever(h))
		if h.Failures > 0 {
			s.add("failures", fmt.Sprint(h.Failures))
			s.add("last error", h.Error)
			s.add("failing since", when(h.Failing))
			s.add("next attempt", when(h.Next))
		}
		return s.write(w)
	})
}

func (a *app) webhookUpdateCommand() *cobra.Command {
	var url, prefix string
	var types []string
	var pause, resume bool
	var cmd *cobra.Command
	cmd = a.command("update ID", "Change a webhook, pause it, or take it up again", func(ctx context.Context, args []string) error {
		var p client.WebhookPatch
		if pause && resume {
			return usagef("either --pause or --resume")
		}
		if pause || resume {
			p.Paused = &pause
		}
		for name, set := range map[string]func(){
			"url": func() { p.URL = &url }, "prefix": func() { p.Prefix = &prefix }, "type": func() { p.Types = &types },
		} {
			if cmd.Flags().Changed(name) {
				set()
			}
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		return a.answerWebhook(s.Webhooks().Update(ctx, args[0], p))
	})
	cmd.Long = `Change where a webhook's events are sent, or which. While it is paused, events wait in
the log. --resume also takes deliveries up again that were given up.`
	cmd.Example = "fastness webhook update whk_ab2c3d4e5f6g7h2i --resume"
	flags := cmd.Flags()
	flags.StringVar(&url, "url", "", "send events to this `URL`")
	flags.StringVar(&prefix, "prefix", "", "only of secrets whose names begin with `TEXT`")
	flags.StringSliceVar(&types, "type", nil, "only events of this type (`TYPE`); give it several times")
	flags.BoolVar(&pause, "pause", false, "let events wait")
	flags.BoolVar(&resume, "resume", false, "go on, also if deliveries were given up")
	return cmd
}

func (a *app) webhookDeleteCommand() *cobra.Command {
	var yes bool
	cmd := a.command("delete ID", "End a webhook", func(ctx context.Context, args []string) error {
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		if err := a.confirm(ctx, yes, fmt.Sprintf("End webhook %s? What waits for it is not sent.", quote(args[0]))); err != nil {
			return err
		}
		if err := s.Webhooks().Delete(ctx, args[0]); err != nil {
			return err
		}
		return a.done("deleted %s", args[0])
	})
	cmd.Long = "End a webhook. What waits for it is not sent any more."
	cmd.Example = "fastness webhook delete whk_ab2c3d4e5f6g7h2i --yes"
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) webhookTestCommand() *cobra.Command {
	cmd := a.command("test ID", "Send a test event", func(ctx context.Context, args []string) error {
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		return a.answerWebhook(s.Webhooks().Test(ctx, args[0]))
	})
	cmd.Long = "Have a test event sent, also if the webhook is paused. Ask with `fastness webhook get` how it went."
	cmd.Example = "fastness webhook test whk_ab2c3d4e5f6g7h2i"
	return cmd
}
