package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"fastness/client"
	"fastness/internal/secret"
)

const (
	// waitTimeout is how long a command waits for a rotation that it asked for.
	waitTimeout = 2 * time.Minute
	// waitPeriod is how often it looks.
	waitPeriod = 200 * time.Millisecond
)

// waitFlags say whether to wait for the end of a rotation, and for how long.
type waitFlags struct {
	wait    bool
	timeout time.Duration
}

func (f *waitFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.wait, "wait", false, "wait until the rotation is over, and tell its steps as they happen")
	cmd.Flags().DurationVar(&f.timeout, "timeout", waitTimeout, "with --wait, how long (`TIME`)")
}

func (a *app) rotationRepairCommand() *cobra.Command {
	var flags waitFlags
	cmd := a.command("repair NAME", "Have a stuck rotation end", func(ctx context.Context, args []string) error {
		name, err := parseName(args[0])
		if err != nil {
			return err
		}
		s, err := a.session(ctx)
		if err != nil {
			return err
		}
		r, err := s.RepairRotation(ctx, name)
		if err != nil {
			return err
		}
		return a.asked(ctx, s, r, flags)
	})
	cmd.Long = `Have a stuck rotation end with the credential that works: the pending one, which
then becomes current, or the current one. If neither does, it stays stuck: first put
a value that works, with "fastness put NAME".`
	cmd.Example = "fastness rotation repair db/app --wait"
	flags.add(cmd)
	return cmd
}

// asked ends a command that has asked for a rotation.
func (a *app) asked(ctx context.Context, s *client.Session, r client.Rotation, f waitFlags) error {
	if !f.wait {
		return a.say("asked for a rotation of %s; fastness rotation status tells how it stands", r.Name)
	}
	waiting, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	last, err := a.followRotation(waiting, s, r)
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return fmt.Errorf("the rotation is not over after %v; it goes on, and fastness rotation status tells how", f.timeout)
	case err != nil:
		return err
	case last.State == "abandoned":
		return errors.New("the rotation was abandoned: the current value works, and stays")
	}
	return a.say("rotated %s; the old value is at --stage previous", r.Name)
}

// followRotation tells the steps of a rotation until it is over, and returns
// its record.
func (a *app) followRotation(ctx context.Context, s *client.Session, r client.Rotation) (*client.RotationRecord, error) {
	before := idOf(r.Last)
	var told toldSteps
	for {
		r, err := s.Rotation(ctx, secret.Name(r.Name))
		if err != nil {
			return nil, err
		}
		if idOf(r.Last) != before {
			told.tell(a, r.Last)
			return r.Last, nil
		}
		told.tell(a, r.Rotation)
		if r.State == "stuck" {
			return nil, fmt.Errorf("the rotation is stuck: %s; see fastness rotation repair", failureOf(r.Rotation))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(waitPeriod):
		}
	}
}

func idOf(r *client.RotationRecord) string {
	if r == nil {
		return ""
	}
	return r.ID
}

// toldSteps is what of a rotation was told.
type toldSteps struct {
	steps    int
	attempts int
}

func (t *toldSteps) tell(a *app, r *client.RotationRecord) {
	if r == nil {
		return
	}
	for ; t.steps < len(r.Steps); t.steps++ {
		a.note("%s  %s", when(r.Steps[t.steps].At), clean(r.Steps[t.steps].State))
		t.attempts = 0
	}
	if r.Attempts > t.attempts {
		a.note("%s", clean(failureOf(r)))
	}
	t.attempts = r.Attempts
}
