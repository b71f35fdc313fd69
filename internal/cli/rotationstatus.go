package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/secret"
)

func (a *app) rotationGetCommand() *cobra.Command {
	return a.rotationVerb("get NAME", "Show how a secret rotates by itself",
		"Show how a secret rotates by itself: rotator, config, schedule. It shows nothing of\nany value.",
		"fastness rotation get db/app\nfastness rotation get db/app --json | jq .rotationConfig",
		func(ctx context.Context, s *client.Session, name secret.Name) (client.Rotation, error) {
			return s.Rotation(ctx, name)
		})
}

func (a *app) rotationStatusCommand() *cobra.Command {
	cmd := a.command("status NAME", "Show how the rotation of a secret stands", func(ctx context.Context, args []string) error {
		name, err := parseName(args[0])
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		r, err := s.Rotation(ctx, name)
		if err != nil {
			return err
		}
		return a.answer(func(w io.Writer) error {
			sheet := rotationSheet(r)
			addRecord(sheet, "now", r.Rotation)
			addRecord(sheet, "last", r.Last)
			if old := r.Retiring; old != nil {
				sheet.add("old credential", fmt.Sprintf("valid, revoked by %s", when(old.Until)))
				sheet.add("", old.Failed)
			}
			return sheet.write(w)
		})
	})
	cmd.Long = `Show how the rotation of a secret stands. The states are idle, asked (the worker
was told), starting (nothing is done yet, since it failed to begin), pending (the
new value is stored), set (the target was changed), tested (the new value has
logged in) and stuck (somebody has to look; "fastness rotation repair" ends it).`
	cmd.Example = "fastness rotation status db/app\nfastness rotation status db/app --json | jq -r .state"
	return cmd
}

// rotationSheet is how a rotation stands, without what was done.
func rotationSheet(r client.Rotation) *sheet {
	s := &sheet{}
	s.add("name", r.Name)
	state := r.State
	if r.Paused {
		state += ", paused"
	}
	if r.Overdue {
		state += ", overdue"
	}
	s.add("state", state)
	s.add("last rotated", when(r.LastRotated))
	s.add("next rotation", when(r.NextRotation))
	return s
}

// addRecord shows what was done, and what failed.
func addRecord(s *sheet, what string, r *client.RotationRecord) {
	if r == nil {
		return
	}
	s.add(what, fmt.Sprintf("%s, begun %s", firstOf(r.State, "not begun"), when(r.Started)))
	for _, step := range r.Steps {
		s.add("", fmt.Sprintf("%s  %s", when(step.At), step.State))
	}
	s.add("", failureOf(r))
}

// failureOf tells the last failure of a rotation; empty if there is none.
func failureOf(r *client.RotationRecord) string {
	if r.Class == "" {
		return ""
	}
	text := fmt.Sprintf("attempt %d failed (%s): %s", max(r.Attempts, 1), r.Class, r.Detail)
	if !r.NextAttempt.IsZero() {
		text += "; next attempt " + when(r.NextAttempt)
	}
	return text
}

// showRotation prints how a secret rotates by itself.
func (a *app) showRotation(r client.Rotation) error {
	return a.answer(func(w io.Writer) error {
		s := rotationSheet(r)
		s.add("rotator", firstOf(r.Rotator, "by the name"))
		s.add("config", string(r.Config))
		s.add("schedule", firstOf(r.Schedule, "the secret's interval"))
		s.add("duration", r.Duration)
		s.add("uses", strings.Join(r.Uses, ", "))
		s.add("retire after", r.RetireAfter)
		return s.write(w)
	})
}

func (a *app) rotationHistoryCommand() *cobra.Command {
	cmd := a.command("history NAME", "List a secret's rotations that are over", func(ctx context.Context, args []string) error {
		name, err := parseName(args[0])
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		records, err := s.RotationHistory(ctx, name)
		if err != nil {
			return err
		}
		return a.answer(func(w io.Writer) error {
			t := newTable("BEGUN", "ENDED", "RESULT", "VERSION ID", "STEPS")
			for _, r := range records {
				t.add(when(r.Started), when(r.Changed), r.State, r.VersionID, stepsOf(r))
			}
			return t.flush(w)
		})
	})
	cmd.Long = "List a secret's rotations that are over, newest first: the last twenty. The audit\nlog has all of them, with each step and each failure."
	cmd.Example = "fastness rotation history db/app\nfastness rotation history db/app --json | jq '.items[0]'"
	return cmd
}

func (a *app) rotationConsumersCommand() *cobra.Command {
	var flags pageFlags
	cmd := a.command("consumers NAME", "List who has read which version of a secret", func(ctx context.Context, args []string) error {
		name, err := parseName(args[0])
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		return printList(ctx, a, listing[client.Consumer]{
			flags: flags,
			fetch: func(limit int, cursor string) (client.Page[client.Consumer], error) {
				return s.Consumers(ctx, name, limit, cursor)
			},
			head: []string{"PRINCIPAL", "VERSION", "LAST READ", "HOLDS"},
			row: func(c client.Consumer) []string {
				return []string{c.Principal, c.Version, day(c.LastRead), map[bool]string{true: "an old version", false: "the current version"}[c.Behind]}
			},
			none: "nobody has read it",
		})
	})
	cmd.Long = `List who has read which version of a secret: of each principal the newest one, and
the day of its last read. Whoever holds an old version logs in with it no more once
the old credential is revoked ("fastness rotation set NAME --retire-after TIME").`
	cmd.Example = "fastness rotation consumers db/app\nfastness rotation consumers db/app --json | jq '.items[] | select(.behind)'"
	flags.add(cmd)
	return cmd
}

func stepsOf(r client.RotationRecord) string {
	words := make([]string, len(r.Steps))
	for i, step := range r.Steps {
		words[i] = step.State
	}
	return strings.Join(words, " ")
}
