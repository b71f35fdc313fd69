package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/secret"
)

func (a *app) rotationCommand() *cobra.Command {
	return group("rotation", "Have secrets rotate by themselves, and see how they stand",
		a.rotationSetCommand(), a.rotationGetCommand(), a.rotationStatusCommand(), a.rotationHistoryCommand(), a.rotationConsumersCommand(),
		a.rotationPauseCommand(), a.rotationResumeCommand(), a.rotationRepairCommand(), a.rotationRemoveCommand())
}

// rotationFlags are a rotation policy.
type rotationFlags struct {
	rotator, config    string
	schedule, duration string
	uses               []string
	retireAfter        string
}

func (f *rotationFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.rotator, "rotator", "", "password, api-key, postgres, mysql, redis or webhook (`NAME`); default what the secret's name says")
	flags.StringVar(&f.config, "config", "", "the rotator's config: a `JSON` object, or @FILE")
	flags.StringVar(&f.schedule, "schedule", "", "7d, 30d, 90d, 180d, 365d, \"rate(8 hours)\" or \"cron(0 2 ? * SUN *)\" (`WHEN`); default the secret's interval")
	flags.StringVar(&f.duration, "duration", "", "how long a window of the schedule is open: 1h to 24h (`TIME`)")
	flags.StringArrayVar(&f.uses, "uses", nil, "`SECRET` that the rotator may look up, besides those that config and value name; again for more")
	flags.StringVar(&f.retireAfter, "retire-after", "", "revoke the old credential on the target when all who had read it have read the new one, and at the latest then: 30m, 12h, 7d (`TIME`)")
	completes(cmd, "rotator", "password", "api-key", "postgres", "mysql", "redis", "webhook")
	completes(cmd, "schedule", "7d", "30d", "90d", "180d", "365d")
}

func (f *rotationFlags) policy() (client.RotationPolicy, error) {
	p := client.RotationPolicy{Rotator: f.rotator, Schedule: f.schedule, Duration: f.duration, Uses: f.uses, RetireAfter: f.retireAfter}
	config := []byte(f.config)
	if len(config) > 0 && config[0] == '@' {
		var err error
		if config, err = os.ReadFile(f.config[1:]); err != nil {
			return p, fmt.Errorf("reading the file of --config: %w", err)
		}
	}
	if len(config) == 0 {
		return p, nil
	}
	if !json.Valid(config) {
		return p, usagef("--config: a JSON object is expected, or @ and a file that holds one")
	}
	p.Config = config
	return p, nil
}

func (a *app) rotationSetCommand() *cobra.Command {
	var flags rotationFlags
	cmd := a.command("set NAME", "Have a secret rotate by itself, or change how", func(ctx context.Context, args []string) error {
		p, err := flags.policy()
		if err != nil {
			return err
		}
		return a.aboutRotation(ctx, args[0], func(s *client.Session, name secret.Name) (client.Rotation, error) {
			return s.SetRotation(ctx, name, p)
		})
	})
	cmd.Long = `Have a secret rotate by itself, or change how: what no flag says gets its
default, also if it was set before. Rotators and their configs are in
docs/rotation. The config, the secret's current value and the secrets that the
rotator looks up are checked at once; the target is not asked.`
	cmd.Example = `fastness rotation set app/password --schedule 30d
fastness rotation set app/token --rotator api-key --config '{"encoding":"base62"}' --schedule 'rate(8 hours)'
fastness rotation set db/app --rotator postgres --schedule 'cron(0 2 ? * SUN *)' --duration 3h
fastness rotation set db/app --rotator postgres --config @alternating.json --retire-after 7d`
	flags.add(cmd)
	return cmd
}

// aboutRotation does something with a rotation, and shows how it stands then.
func (a *app) aboutRotation(ctx context.Context, arg string, do func(*client.Session, secret.Name) (client.Rotation, error)) error {
	name, err := parseName(arg)
	if err != nil {
		return err
	}
	s, err := a.session(ctx)
	if err != nil {
		return err
	}
	r, err := do(s, name)
	if err != nil {
		return err
	}
	return a.showRotation(r)
}

// rotationVerb is a command that does one thing with a rotation.
func (a *app) rotationVerb(use, short, long, example string, do func(context.Context, *client.Session, secret.Name) (client.Rotation, error)) *cobra.Command {
	cmd := a.command(use, short, func(ctx context.Context, args []string) error {
		return a.aboutRotation(ctx, args[0], func(s *client.Session, name secret.Name) (client.Rotation, error) { return do(ctx, s, name) })
	})
	cmd.Long, cmd.Example = long, example
	return cmd
}

func (a *app) rotationPauseCommand() *cobra.Command {
	return a.rotationVerb("pause NAME", "Rotate a secret no more until it is resumed",
		"Rotate a secret no more, neither by schedule nor when asked, until it is resumed. What\nthe worker has in hand still ends; a rotation that waits for its next attempt waits on.",
		"fastness rotation pause db/app",
		func(ctx context.Context, s *client.Session, name secret.Name) (client.Rotation, error) {
			return s.PauseRotation(ctx, name)
		})
}

func (a *app) rotationResumeCommand() *cobra.Command {
	return a.rotationVerb("resume NAME", "Rotate a paused secret again",
		"Rotate a paused secret again, and go on with what was under way.",
		"fastness rotation resume db/app",
		func(ctx context.Context, s *client.Session, name secret.Name) (client.Rotation, error) {
			return s.ResumeRotation(ctx, name)
		})
}

func (a *app) rotationRemoveCommand() *cobra.Command {
	cmd := a.command("remove NAME", "End that a secret rotates by itself", func(ctx context.Context, args []string) error {
		name, err := parseName(args[0])
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		if err := s.RemoveRotation(ctx, name); err != nil {
			return err
		}
		return a.done("%s does not rotate by itself any more", string(name))
	})
	cmd.Long = `End that a secret rotates by itself, and drop its history; the audit log keeps
what was done. The value and its versions stay. While a rotation is under way it is
refused; of one that is stuck the pending version keeps its label.`
	cmd.Example = "fastness rotation remove db/app"
	return cmd
}
