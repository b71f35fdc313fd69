package rotation

import (
	"slices"
	"time"

	"fastness/internal/secret"
)

// State is how far a rotation has come, as its record durably says. An effect
// comes before the state that tells of it, so the world may be one step ahead.
type State string

// The states. A rotation goes through the first four in this order.
const (
	StatePending   State = "pending"   // the new value is stored under AWSPENDING
	StateSet       State = "set"       // the target was changed
	StateTested    State = "tested"    // the new credential has logged in
	StateFinished  State = "finished"  // the labels have moved
	StateStuck     State = "stuck"     // given up until somebody repairs it
	StateAbandoned State = "abandoned" // the pending value is no more; all is as before
)

// Over reports whether nothing is left to do.
func (s State) Over() bool { return s == StateFinished || s == StateAbandoned }

// Step is what to do next.
type Step string

// The steps.
const (
	DoSet     Step = "set"     // Rotator.Set, then record StateSet
	DoTest    Step = "test"    // Rotator.Test of Pending, then record StateTested
	DoFinish  Step = "finish"  // move the labels and record StateFinished, in one transaction
	DoAbandon Step = "abandon" // take AWSPENDING off and record StateAbandoned, in one transaction
	DoWait    Step = "wait"    // a failure: try again later
	DoStick   Step = "stick"   // record StateStuck
	DoNothing Step = "nothing"
)

// Record is the durable part of one rotation: an entry of its journal.
type Record struct {
	ID      secret.VersionID // of the rotation
	Token   secret.VersionID // of the pending version
	From    secret.VersionID // of the version that was current when it began
	State   State
	Started time.Time
	Changed time.Time // when the state was last written
	Passed  []Passed  `json:",omitempty"` // the states so far, in order

	Attempts    int       // failed ones since the state last changed
	Class       Class     // of the last failure
	Detail      string    // the same, in words
	NextAttempt time.Time // not before then; zero for at once
}

// Passed is a state that a rotation has reached, and when.
type Passed struct {
	State State
	At    time.Time
}

// maxPassed bounds Record.Passed: a target that is set back again and again
// passes the same states each time.
const maxPassed = 20

// Answer says whether a credential works.
type Answer int

// The answers. Nobody has asked, or the target did not say, is Unknown.
const (
	Unknown Answer = iota
	Works
	Fails
)

// String names the answer.
func (a Answer) String() string { return [...]string{"unknown", "works", "fails"}[a] }

// Findings is what is found about a rotation that was interrupted: where the
// labels are, and which credential logs in.
type Findings struct {
	CurrentAt, PendingAt       secret.VersionID // empty for nowhere
	Pending, Current, Previous Answer
}

// Next is the step of a rotation in which nothing has gone wrong since its
// record was written by this very process.
func Next(s State) Step {
	switch s {
	case StatePending:
		return DoSet
	case StateSet:
		return DoTest
	case StateTested:
		return DoFinish
	}
	return DoNothing
}

// Decide is the step of a rotation of which only the record is left, after a
// crash or a failure. It trusts what was found more than what was recorded.
func Decide(r Record, f Findings) Step {
	switch {
	case r.State.Over() || r.State == StateStuck:
		return DoNothing
	case f.CurrentAt == r.Token:
		return DoFinish // somebody moved the label; the record has to follow
	case f.PendingAt != r.Token || f.CurrentAt != r.From:
		return overtaken(f)
	}
	return resume(r, f)
}

// resume goes on with a rotation that is still the secret's. What was set but
// not recorded is set again: a part of it may not have happened, such as
// saving it, and the log is to tell of each step.
func resume(r Record, f Findings) Step {
	switch f.Pending {
	case Works:
		return Next(r.State)
	case Fails:
		if f.Current == Fails && f.Previous == Fails {
			return DoStick
		}
		return DoSet // which finds its way in, or says that there is none
	}
	return DoWait
}

// overtaken decides about a rotation whose labels somebody moved meanwhile. What
// works stays: the secret's current value, if it does, else the pending one,
// also without its label, for the target may know no other any more.
func overtaken(f Findings) Step {
	switch {
	case f.Current == Works:
		return DoAbandon
	case f.Pending == Works && f.Current == Fails:
		return DoFinish
	case f.Pending == Fails && f.Current == Fails:
		return DoStick
	}
	return DoWait
}

// Repair is the step that ends a stuck rotation, as somebody asks for: with
// the pending credential if it works, with what there is if that works. DoStick
// says that neither does, and that a value that works must be put first.
func Repair(r Record, f Findings) Step {
	untouched := f.PendingAt == r.Token && f.CurrentAt == r.From
	switch {
	case r.State != StateStuck:
		return DoNothing
	case f.CurrentAt == r.Token:
		return DoFinish
	case f.Pending == Works && (untouched || f.Current != Works):
		return DoFinish
	case f.Current == Works:
		return DoAbandon
	case f.Pending == Fails && f.Current == Fails:
		return DoStick
	case f.PendingAt != r.Token && f.Current == Unknown:
		return DoAbandon // nothing can be known, and somebody has decided
	}
	return DoWait
}

const (
	// MaxAttempts is how often a step fails before the rotation is stuck.
	MaxAttempts = 10
	minBackoff  = 30 * time.Second
	maxBackoff  = time.Hour
)

// Reached returns the record after a step succeeded.
func (r Record) Reached(s State, now time.Time) Record {
	passed := append(slices.Clip(r.Passed), Passed{s, now})
	passed = passed[max(0, len(passed)-maxPassed):]
	return Record{ID: r.ID, Token: r.Token, From: r.From, State: s, Started: r.Started, Changed: now, Passed: passed}
}

// Failed returns the record after a step failed: with a time for the next
// attempt, or stuck. Luck is a random number that spreads secrets that failed
// together, over the second half of the wait.
func (r Record) Failed(err error, now time.Time, luck uint64) Record {
	r.Attempts++
	r.Class, r.Detail = ClassOf(err), detailOf(err)
	if r.Attempts >= MaxAttempts {
		r.State, r.Changed, r.NextAttempt = StateStuck, now, time.Time{}
		return r
	}
	wait := min(minBackoff<<(r.Attempts-1), maxBackoff)
	r.NextAttempt = now.Add(wait/2 + time.Duration(luck%uint64(wait/2)))
	return r
}

// Stuck returns the record of a rotation that is given up at once.
func (r Record) Stuck(err error, now time.Time) Record {
	r.State, r.Class, r.Detail, r.Changed, r.NextAttempt = StateStuck, ClassOf(err), detailOf(err), now, time.Time{}
	return r
}

// detailOf is what a record may say of an error.
func detailOf(err error) string {
	if e, ok := asError(err); ok {
		return e.Detail
	}
	return secret.Of(err).Error()
}
