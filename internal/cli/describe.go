package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/secret"
)

func (a *app) describeCommand() *cobra.Command {
	cmd := a.command("describe NAME", "Show a secret's metadata", func(ctx context.Context, args []string) error {
		name, err := parseName(args[0])
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		info, err := s.Describe(ctx, name)
		if err != nil {
			return err
		}
		every, err := a.everyOf(ctx, s, info)
		if err != nil {
			return err
		}
		return a.showInfo(info, every)
	})
	cmd.Long = "Show a secret's metadata, and on which version each staging label is. The value is not read."
	cmd.Example = `fastness describe db/password
fastness describe db/password --json | jq .nextRotation`
	return cmd
}

// everyInterval is how often a secret rotates that has no schedule besides.
func everyInterval(i secret.Info) string { return "every " + string(i.Metadata.RotationInterval) }

// everyOf is when a secret rotates: by the schedule of its rotation, if it has one.
func (a *app) everyOf(ctx context.Context, s *client.Session, i secret.Info) (string, error) {
	if a.global.json || i.NextRotation.Equal(i.Metadata.RotationInterval.Next(i.LastRotated)) {
		return everyInterval(i), nil // with --json not shown: the answer is that to the last request
	}
	r, err := s.Rotation(ctx, i.Name)
	if errors.Is(err, secret.ErrNotFound) || err == nil && r.Schedule == "" { // changed meanwhile
		return everyInterval(i), nil
	}
	return clean(r.Schedule), err
}

// showInfo prints a secret's metadata, with when it rotates.
func (a *app) showInfo(i secret.Info, every string) error {
	return a.answer(func(w io.Writer) error {
		var s sheet
		s.add("name", string(i.Name))
		s.add("description", i.Metadata.Description)
		if i.Version != 0 {
			s.add("version", fmt.Sprintf("%s (%s)", i.Version, kindName(i.Kind)))
		}
		for _, l := range slices.Sorted(maps.Keys(i.Labels)) {
			s.add("stage", fmt.Sprintf("%s on version %s", l, i.Labels[l]))
		}
		s.add("algorithm", string(i.Metadata.Algorithm))
		for _, key := range slices.Sorted(maps.Keys(i.Metadata.Tags)) {
			s.add("tag", key+"="+i.Metadata.Tags[key])
		}
		required := ""
		if i.Metadata.RotationRequired {
			required = ", required"
		}
		s.add("rotation", every+required)
		s.add("last rotated", when(i.LastRotated))
		s.add("next rotation", when(i.NextRotation))
		addPolicy(&s, i.Metadata.AccessPolicy)
		s.add("created", when(i.Created))
		s.add("changed", when(i.Changed))
		s.add("last read", day(i.LastRead))
		s.add("gone on", when(i.Deletion))
		return s.write(w)
	})
}

func addPolicy(s *sheet, p secret.AccessPolicy) {
	if p.AllowedServices != nil {
		s.add("services", orNobody(p.AllowedServices))
	}
	if p.AllowedEnvironments != nil {
		names := make([]string, len(p.AllowedEnvironments))
		for i, e := range p.AllowedEnvironments {
			names[i] = string(e)
		}
		s.add("environments", orNobody(names))
	}
	if p.RequiresMFA {
		s.add("second factor", "required")
	}
}

func orNobody(names []string) string {
	if len(names) == 0 {
		return "none may"
	}
	return strings.Join(names, ", ")
}
