package rotation

import (
	"context"
	"errors"
)

// Probe asks the target which of the job's credentials work, and returns f with
// the answers. A credential that there is not, fails. Errors of the target are
// the answer Unknown; the first of them is returned too, for the record.
//
// The questions are asked one after another, and what a worker began that was
// overtaken may reach the target between two of them: the pending credential is
// asked for while the current one works, the current one when the pending one
// does. So that none works is believed only when the pending one was asked last.
func Probe(ctx context.Context, r Rotator, j *Job, f Findings) (Findings, error) {
	var first error
	ask := func(w Which) Answer {
		if j.value(w) == nil {
			return Fails
		}
		switch err := r.Test(ctx, j, w); {
		case err == nil:
			return Works
		case errors.Is(err, ErrUnverified):
			return Fails
		default:
			if first == nil {
				first = err
			}
			return Unknown
		}
	}
	f.Pending, f.Current, f.Previous = ask(Pending), ask(Current), ask(Previous)
	if f.Pending == Fails && f.Current == Fails && f.Previous == Fails {
		f.Pending = ask(Pending)
	}
	return f, first
}
