package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/identity"
)

func (a *app) settingsCommand() *cobra.Command {
	return group("settings", "Set what a tenant demands of second factors", a.settingsShowCommand(), a.settingsSetCommand())
}

func (a *app) settingsShowCommand() *cobra.Command {
	cmd := a.command("show", "Show a tenant's settings", func(ctx context.Context, _ []string) error {
		policies, err := a.policies(ctx)
		if err != nil {
			return err
		}
		return a.answerSettings(policies.Settings(ctx))
	})
	cmd.Long = "Show what the tenant demands of second factors."
	cmd.Example = "fastness settings show"
	return cmd
}

func (a *app) settingsSetCommand() *cobra.Command {
	var window string
	var read, login bool
	var version expectedFlag
	var cmd *cobra.Command
	cmd = a.command("set", "Change a tenant's settings", func(ctx context.Context, _ []string) error {
		patch := client.SettingsPatch{Expected: version.expected()}
		given := cmd.Flags().Changed
		if given("mfa-window") {
			d, err := identity.ParseDuration(window)
			if err != nil {
				return usagef("--mfa-window: 5m or 1h is expected")
			}
			patch.MFAWindow = &d
		}
		if given("mfa-for-read") {
			patch.MFAForRead = &read
		}
		if given("mfa-for-login") {
			patch.MFAForLogin = &login
		}
		if patch.MFAWindow == nil && patch.MFAForRead == nil && patch.MFAForLogin == nil {
			return usagef("nothing to set: give at least one flag")
		}
		policies, err := a.policies(ctx)
		if err != nil {
			return err
		}
		return a.answerSettings(policies.UpdateSettings(ctx, patch))
	})
	cmd.Long = `Change what the tenant demands of second factors. What no flag is about stays as
it is. The next request is decided by it.

A factor that was given counts for the window. A secret whose access policy
requires one demands it for every action but reading; --mfa-for-read demands it
of people who read any secret. --mfa-for-login locks a person's login until one
is given. Services have no second factors.`
	cmd.Example = `fastness settings set --mfa-window 15m
fastness settings set --mfa-for-read --mfa-for-login=false`
	flags := cmd.Flags()
	flags.StringVar(&window, "mfa-window", "", "how long a second factor counts, 1m to 1h (`TIME`)")
	flags.BoolVar(&read, "mfa-for-read", false, "demand a second factor of people who read any secret")
	flags.BoolVar(&login, "mfa-for-login", false, "lock people's logins until a second factor is given")
	version.add(cmd, "the settings have")
	return cmd
}

// answerSettings shows settings, or returns the error that stood in the way.
func (a *app) answerSettings(s client.Settings, err error) error {
	if err != nil {
		return err
	}
	return a.answer(func(w io.Writer) error {
		var rows sheet
		rows.add("mfa-window", span(s.Window()))
		rows.add("mfa-for-read", fmt.Sprint(s.MFAForRead))
		rows.add("mfa-for-login", fmt.Sprint(s.MFAForLogin))
		rows.add("version", fmt.Sprint(s.Version))
		return rows.write(w)
	})
}

// span shows a span of time without units of which there are none: 15m, not
// 15m0s.
func span(d time.Duration) string {
	text := d.String()
	for _, none := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, none) {
			text = text[:len(text)-2]
		}
	}
	return text
}
