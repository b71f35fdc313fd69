package cli

import (
	"context"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/secret"
)

func (a *app) updateCommand() *cobra.Command {
	var meta metadataFlags
	var cmd *cobra.Command
	cmd = a.command("update NAME", "Change a secret's metadata", func(ctx context.Context, args []string) error {
		name, err := parseName(args[0])
		if err != nil {
			return err
		}
		patch, err := meta.patch(cmd)
		if err != nil {
			return err
		}
		if patch.IsZero() {
			return usagef("nothing to change: give at least one flag")
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		info, err := s.Update(ctx, name, patch)
		if err != nil {
			return err
		}
		every, err := a.everyOf(ctx, s, info)
		if err != nil { // of who may change it and not look: it was changed
			every = "not known: " + describe(err)
		}
		return a.showInfo(info, every)
	})
	cmd.Long = `Change a secret's metadata without a new version. What no flag is about stays
as it is. The flags of the access policy (--allowed-services,
--allowed-environments, --requires-mfa) replace the whole policy together. A
change of the algorithm re-wraps the versions; their ciphertext stays.`
	cmd.Example = `fastness update db/password --rotation-required --rotation-interval 30d
fastness update db/password --allowed-services shop,billing --allowed-environments prod
fastness update db/password --algorithm hybrid-quantum
fastness update db/password --no-tags --description "of the old cluster"`
	meta.add(cmd, true)
	return cmd
}

func (a *app) stageCommand() *cobra.Command {
	return group("stage", "Move staging labels", a.stageMoveCommand(), a.stageRemoveCommand())
}

func (a *app) stageMoveCommand() *cobra.Command {
	var to, from string
	cmd := a.command("move NAME LABEL", "Put a staging label on a version", func(ctx context.Context, args []string) error {
		m, err := parseMove(args[1], from)
		if err != nil {
			return err
		}
		if m.To, err = secret.ParseVersion(to); err != nil {
			return usagef("--to: %v", err)
		}
		return a.moveLabel(ctx, args[0], m)
	})
	cmd.Long = `Put a staging label on a version, wherever it was. With --from it is moved only
if it still is where you think, so that two of you cannot undo each other. When
current moves, previous is left on the version that it came from.`
	cmd.Example = `fastness stage move db/password current --to 3
fastness stage move db/password current --to 3 --from 4
fastness stage move db/password canary --to 5 --from 0`
	cmd.Flags().StringVar(&to, "to", "", "the version's number (`N`)")
	cmd.Flags().StringVar(&from, "from", "", "the version that the label must be on now (`N`; 0 for none)")
	cmd.MarkFlagRequired("to")
	return cmd
}

func (a *app) stageRemoveCommand() *cobra.Command {
	var from string
	cmd := a.command("remove NAME LABEL", "Take a staging label off", func(ctx context.Context, args []string) error {
		m, err := parseMove(args[1], from)
		if err != nil {
			return err
		}
		return a.moveLabel(ctx, args[0], m)
	})
	cmd.Long = "Take a staging label off. The label current can only be moved."
	cmd.Example = `fastness stage remove db/password canary
fastness stage remove db/password pending --from 5`
	cmd.Flags().StringVar(&from, "from", "", "the version that the label must be on now (`N`)")
	return cmd
}

func parseMove(label, from string) (m client.Move, err error) {
	if m.Label, err = secret.ParseLabel(label); err != nil {
		return m, usagef("%s is no staging label: %v", quote(label), err)
	}
	switch from {
	case "":
	case "0":
		m.From = new(secret.Version)
	default:
		v, err := secret.ParseVersion(from)
		if err != nil {
			return m, usagef("--from: %v", err)
		}
		m.From = &v
	}
	return m, nil
}

func (a *app) moveLabel(ctx context.Context, word string, m client.Move) error {
	name, err := parseName(word)
	if err != nil {
		return err
	}
	s, err := a.session(ctx)
	if err != nil {
		return err
	}
	info, err := s.MoveLabel(ctx, name, m)
	if err != nil {
		return err
	}
	if m.To == 0 {
		return a.say("took %s off %s", m.Label, info.Name)
	}
	return a.say("%s of %s is on version %s", m.Label, info.Name, m.To)
}
