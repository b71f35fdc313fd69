package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/secret"
)

// quotaHelp says what each quota limits, for flags and settings.
var quotaHelp = map[string]string{
	"secrets":         "secrets, those scheduled for deletion included",
	"versions":        "versions of all secrets together",
	"bytes":           "bytes of versions as they are stored",
	"principals":      "principals, disabled ones included",
	"requestRate":     "requests a second of all its callers together",
	"requestBurst":    "requests at once after a pause; as many as a second's if only the rate is set",
	"rotationsPerDay": "windows a day of a secret's rotation schedule, up to 24; 6 unless it is set",
}

// kebab is a quota's name as a flag: requestRate is request-rate.
func kebab(quota string) string { return strings.ReplaceAll(snake(quota), "_", "-") }

// snake is a quota's name as a key of the configuration: request_rate.
func snake(quota string) string {
	var b strings.Builder
	for _, r := range quota {
		if 'A' <= r && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// parseQuota reads a quota: a whole number, or "none".
func parseQuota(s string) (int64, error) {
	if s == "none" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, errors.New(`a whole number is expected, or "none"`)
	}
	return n, nil
}

func (a *app) quotaCommand() *cobra.Command {
	return group("quota", "Limit what tenants have and ask for", a.quotaShowCommand(), a.quotaSetCommand())
}

func (a *app) quotaShowCommand() *cobra.Command {
	cmd := a.command("show [NAME]", "Show a tenant's quotas and what of them is used", func(ctx context.Context, args []string) error {
		s, err := a.sessionOf(ctx, args)
		if err != nil {
			return err
		}
		q, err := s.Quotas(ctx)
		if err != nil {
			return err
		}
		return a.showQuotas(q)
	})
	cmd.Long = `Show a tenant's quotas, and what of them is used; without a name your own. Of
the tenant's quota and the deployment's the tighter holds.`
	cmd.Example = `fastness quota show shop
fastness quota show --json | jq .use`
	return cmd
}

func (a *app) quotaSetCommand() *cobra.Command {
	flags := map[string]*string{}
	var cmd *cobra.Command
	cmd = a.command("set NAME", "Set a tenant's quotas", func(ctx context.Context, args []string) error {
		name, err := parseTenant(args[0])
		if err != nil {
			return err
		}
		change, err := quotaChanges(cmd, flags)
		if err != nil {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		old, err := c.Session(name).Quotas(ctx)
		if err != nil {
			return err
		}
		// The revision keeps two operators from undoing each other's change.
		q, err := c.Operator().SetQuotas(ctx, name, change(old.Own), &old.Revision)
		if err != nil {
			return err
		}
		return a.showQuotas(q)
	})
	cmd.Long = `Set quotas of a tenant (operators only). What no flag is about stays as it is;
"none" lifts a quota. What a tenant has above a quota that is lowered stays; it
cannot grow.`
	cmd.Example = `fastness quota set shop --secrets 1000 --versions 20000 --bytes 100000000
fastness quota set shop --request-rate 50 --request-burst 200
fastness quota set shop --rotations-per-day 24
fastness quota set shop --secrets none`
	var none secret.Quotas
	for quota := range none.All() {
		flags[quota] = cmd.Flags().String(kebab(quota), "", "at most `N` "+quotaHelp[quota])
	}
	return cmd
}

// quotaChanges reads the flags that were given into a change of quotas.
func quotaChanges(cmd *cobra.Command, flags map[string]*string) (func(secret.Quotas) secret.Quotas, error) {
	given := map[string]int64{}
	for quota, text := range flags {
		if !cmd.Flags().Changed(kebab(quota)) {
			continue
		}
		n, err := parseQuota(*text)
		if err != nil {
			return nil, usagef("--%s: %v", kebab(quota), err)
		}
		given[quota] = n
	}
	if len(given) == 0 {
		return nil, usagef("nothing to set: give at least one flag")
	}
	return func(q secret.Quotas) secret.Quotas {
		for quota, v := range q.All() {
			if n, ok := given[quota]; ok {
				*v = n
			}
		}
		return q
	}, nil
}

func (a *app) showQuotas(q client.QuotaInfo) error {
	return a.answer(func(w io.Writer) error {
		holds, used := q.Effective(), map[string]int64{
			"secrets": q.Use.Secrets, "versions": q.Use.Versions, "bytes": q.Use.Bytes, "principals": q.Use.Principals,
		}
		own, deployment := quotaValues(q.Own), quotaValues(q.Deployment)
		t := newTable("QUOTA", "IN USE", "HOLDS", "TENANT'S", "DEPLOYMENT'S")
		for quota, v := range holds.All() {
			use := ""
			if n, ok := used[quota]; ok {
				use = fmt.Sprint(n)
			}
			held := orNone(*v)
			if *v == 0 && quota == "rotationsPerDay" {
				held = fmt.Sprint(secret.DefaultRotationsPerDay)
			}
			t.add(kebab(quota), orDash(use), held, orNone(own[quota]), orNone(deployment[quota]))
		}
		return t.flush(w)
	})
}

func quotaValues(q secret.Quotas) map[string]int64 {
	values := map[string]int64{}
	for quota, v := range q.All() {
		values[quota] = *v
	}
	return values
}

// orNone shows a quota, of which zero is none.
func orNone(quota int64) string {
	if quota == 0 {
		return "none"
	}
	return fmt.Sprint(quota)
}
