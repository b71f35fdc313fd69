package rotation

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

const (
	// pollPeriod is how often the worker looks for work when nobody wakes it.
	pollPeriod = time.Second
	// maxConcurrent is how many secrets are rotated at once, and
	// maxPerTarget how many of one host.
	maxConcurrent = 16
	maxPerTarget  = 2
	// maxTargetless is how many of those without a host are rotated at once. They
	// wait for nobody but the store, in which everybody else waits behind them.
	maxTargetless = 2
	// window is how many secrets one look lists: enough to find work for others
	// behind a target that is busy.
	window = 256
	// stopGrace is how long rotations in hand may take once the worker is to
	// stop: a credential that was set should not wait for the next start.
	stopGrace = 10 * time.Second
	// releaseTimeout bounds giving the lease up, which runs out by itself too.
	releaseTimeout = 5 * time.Second
	// targetBusy is how long a secret waits whose target has others to do.
	targetBusy = 2 * time.Second
)

// Worker rotates the secrets of all tenants that rotate by themselves, when
// they are due or somebody asks. Of the workers of a deployment the one that
// holds the lease works; each of the others waits for it.
type Worker struct {
	// Grace is how long rotations in hand may still take when Run is to end;
	// those that take longer are cut off, and resumed by the next worker. Default
	// 10 s; to be set before Run.
	Grace time.Duration

	vault   *vault.Vault
	network Network
	log     *slog.Logger
	now     func() time.Time

	slots      chan struct{} // one for each secret in hand
	targetless chan struct{} // one for each of them that has no target and is worked on
	tasks      sync.WaitGroup

	mu      sync.Mutex // guards the rest
	tenure  *tenure    // the last one; nil before the first
	inHand  map[store.SecretRef]bool
	targets map[string]int // secrets in hand by target
}

// NewWorker makes a worker. Nil for a logger or a clock are the default ones.
func NewWorker(v *vault.Vault, n Network, log *slog.Logger, now func() time.Time) *Worker {
	if log == nil {
		log = slog.Default()
	}
	if now == nil {
		now = time.Now
	}
	return &Worker{
		Grace: stopGrace, vault: v, network: n, log: log, now: now, slots: make(chan struct{}, maxConcurrent), targetless: make(chan struct{}, maxTargetless),
		inHand: map[store.SecretRef]bool{}, targets: map[string]int{},
	}
}

// Run works until ctx ends, and returns when nothing is in hand any more. It
// looks for work every second, and at once when somebody asks this node.
func (w *Worker) Run(ctx context.Context) {
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer w.renewing(work)()
	defer w.finish(work, cut)
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	for {
		if err := w.round(ctx, work); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrFenced) {
			w.log.ErrorContext(ctx, "looking for rotations that are due", "error", err, "cause", secret.Of(err).Cause)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.vault.RotationsAsked():
		}
	}
}

// finish waits for what is in hand, cuts off what takes too long, and gives the
// lease up.
func (w *Worker) finish(work context.Context, cut context.CancelFunc) {
	defer time.AfterFunc(w.Grace, cut).Stop()
	w.tasks.Wait()
	held := w.current()
	if held == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(work), releaseTimeout)
	defer cancel()
	if err := held.lead.Release(ctx); err != nil {
		w.log.WarnContext(ctx, "giving up the lease for rotations", "error", err, "cause", secret.Of(err).Cause)
	}
}

// round hands out all the work that there is now, until ctx ends. The work
// itself goes on until its own context does. No secret is taken twice in a
// round, so that one whose journal cannot be written does not keep it busy.
func (w *Worker) round(ctx, work context.Context) error {
	seen := map[store.SecretRef]bool{}
	for {
		if found, err := w.vault.HasRotations(ctx); err != nil || !found {
			return err
		}
		held, err := w.hold(ctx, work)
		if err != nil {
			return err
		}
		refs, err := held.lead.Work(ctx, window)
		if err != nil {
			return err
		}
		refs = slices.DeleteFunc(refs, func(ref store.SecretRef) bool { return seen[ref] })
		for _, ref := range refs {
			seen[ref] = true
		}
		if started, err := w.start(ctx, held, refs); err != nil || started == 0 {
			return err
		}
	}
}

// Once does what is due now, and waits until it is done: for tests, and for
// programs without a worker.
func (w *Worker) Once(ctx context.Context) error {
	defer w.renewing(ctx)()
	err := w.round(ctx, ctx)
	w.tasks.Wait()
	return err
}

// start takes secrets in hand as slots become free.
func (w *Worker) start(ctx context.Context, held *tenure, refs []store.SecretRef) (started int, err error) {
	for _, ref := range refs {
		if !w.take(ref) {
			continue
		}
		select {
		case w.slots <- struct{}{}:
		case <-ctx.Done():
			w.release(ref)
			return started, ctx.Err()
		}
		started++
		w.tasks.Go(func() {
			defer func() { <-w.slots }()
			defer w.release(ref)
			w.work(held, ref)
		})
	}
	return started, nil
}

func (w *Worker) take(ref store.SecretRef) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inHand[ref] {
		return false
	}
	w.inHand[ref] = true
	return true
}

func (w *Worker) release(ref store.SecretRef) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.inHand, ref)
}

// enter counts a rotation of a target; false if it has enough.
func (w *Worker) enter(target string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if target != "" && w.targets[target] >= maxPerTarget {
		return false
	}
	w.targets[target]++
	return true
}

func (w *Worker) leave(target string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.targets[target]--; w.targets[target] <= 0 {
		delete(w.targets, target)
	}
}

// work does with one secret what there is to do, up to the first failure,
// which its journal keeps.
func (w *Worker) work(held *tenure, ref store.SecretRef) {
	ctx := held.ctx
	defer func() {
		if p := recover(); p != nil { // of a driver; the next look begins with what is durable
			w.log.ErrorContext(ctx, "a rotation panicked", "secret", string(ref.Name), "error", secret.Panicked(p))
		}
	}()
	taken, err := held.lead.Take(ctx, ref)
	if err == nil {
		r := &run{worker: w, held: held, taken: taken, log: w.log.With("tenant", string(taken.Tenant), "secret", string(taken.Name))}
		err = r.rotate(ctx)
	}
	switch {
	case errors.Is(err, secret.ErrNotFound), errors.Is(err, store.ErrAbsent):
		return // deleted, purged or suspended meanwhile, or its rotation removed
	case errors.Is(err, secret.ErrConflict):
		return // labels were moved meanwhile; the next look finds out what for
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrFenced) {
		w.log.ErrorContext(ctx, "keeping a rotation's journal", "secret", string(ref.Name), "error", err, "cause", secret.Of(err).Cause)
	}
}

// run is one rotation in hand.
type run struct {
	worker  *Worker
	held    *tenure
	taken   *vault.Taken
	log     *slog.Logger
	rotator Rotator
	record  Record
	job     *Job
	target  string
}

// rotate begins a rotation or goes on with one. Its errors are the store's;
// those of the rotation itself are in the journal.
func (r *run) rotate(ctx context.Context) error {
	if err := r.load(); err != nil {
		return err
	}
	switch {
	case r.taken.Policy.Paused, r.taken.Stuck && !r.taken.Asked:
		return r.taken.Postpone(ctx, time.Time{})
	case !r.taken.Active && !r.taken.Asked && !r.taken.Due && r.taken.Retiring != nil:
		return r.retire(ctx)
	case !r.taken.Active && !r.taken.Asked && !r.taken.Due:
		return r.taken.Postpone(ctx, r.taken.Next)
	}
	var err error
	if r.rotator, err = r.parse(); err != nil {
		return r.fail(ctx, "config", err)
	}
	if _, ok := r.rotator.(Targeter); !ok {
		select {
		case r.worker.targetless <- struct{}{}:
			defer func() { <-r.worker.targetless }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer r.releaseJob()
	if err := r.prepare(ctx); err != nil {
		return r.fail(ctx, "opening", err)
	}
	if !r.worker.enter(r.target) {
		return r.taken.Postpone(ctx, r.worker.now().Add(targetBusy))
	}
	defer r.worker.leave(r.target)
	return r.proceed(ctx)
}

// load reads the journal.
func (r *run) load() error {
	if !r.taken.Active || r.taken.Journal == nil {
		return nil
	}
	return json.Unmarshal(r.taken.Journal, &r.record)
}

// parse makes the rotator; without a name the secret's decides.
func (r *run) parse() (Rotator, error) {
	return rotatorOf(r.taken.Name, r.taken.Policy, r.worker.network)
}

// prepare opens what the rotator works with.
func (r *run) prepare(ctx context.Context) (err error) {
	if r.record.Token == "" { // also of a rotation that has failed before it came here
		now := r.worker.now().UTC()
		r.record.Token, r.record.Started, r.record.Changed = cmp.Or(r.taken.Token, secret.NewVersionID()), now, now
		r.record.ID = cmp.Or(r.record.ID, secret.NewVersionID())
	}
	if r.record.State == "" {
		r.record.From = r.taken.CurrentAt // also if it has failed to begin before
	}
	r.job = &Job{SecretID: string(r.taken.Name), Token: r.record.Token, RotationToken: r.record.ID, Lookup: r.taken.Lookup, Confirm: r.held.renew}
	if r.job.Current, err = r.taken.Open(ctx, r.taken.CurrentAt); err != nil {
		return err
	}
	if r.job.Previous, err = r.taken.Open(ctx, r.taken.PreviousAt); err != nil {
		return err
	}
	if r.record.State != "" {
		if r.job.Pending, err = r.taken.Open(ctx, r.record.Token); err != nil {
			return err
		}
	}
	if err := r.rotator.Check(r.job.Current); err != nil {
		return err
	}
	if t, ok := r.rotator.(Targeter); ok {
		r.target, err = t.Target(r.job.Current)
	}
	return err
}

func (r *run) releaseJob() {
	if r.job != nil {
		r.job.Pending.Release()
		r.job.Current.Release()
		r.job.Previous.Release()
	}
}

// proceed takes steps until the rotation is over or one fails.
func (r *run) proceed(ctx context.Context) error {
	step, err := r.first(ctx)
	for err == nil && step != DoNothing {
		if over, serr := r.take(ctx, step); serr != nil || over {
			return serr
		}
		step = Next(r.record.State)
	}
	return err
}

// first begins the rotation, or finds out how to go on.
func (r *run) first(ctx context.Context) (Step, error) {
	if r.record.State == "" {
		if err := r.begin(ctx); err != nil {
			return DoNothing, r.fail(ctx, "pending", err)
		}
		return Next(r.record.State), nil
	}
	found, cause := Probe(ctx, r.rotator, r.job, Findings{CurrentAt: r.taken.CurrentAt, PendingAt: r.taken.PendingAt})
	step := Decide(r.record, found)
	if r.record.State == StateStuck {
		step = Repair(r.record, found)
	}
	r.log.InfoContext(ctx, "rotation resumed", "state", string(r.record.State), "pending", found.Pending.String(),
		"current", found.Current.String(), "previous", found.Previous.String(), "step", string(step))
	switch step {
	case DoWait:
		return DoNothing, r.fail(ctx, "probe", cause)
	case DoStick:
		return DoNothing, r.stick(ctx)
	}
	return step, nil
}

// begin makes the pending version and the journal's first record.
func (r *run) begin(ctx context.Context) error {
	if _, ok := r.rotator.(Announcer); ok {
		if err := r.taken.Save(ctx, "begun", r.record, time.Time{}); err != nil {
			return err
		}
	}
	value, err := r.rotator.Make(ctx, r.job)
	if err != nil && !errors.Is(err, ErrMadeElsewhere) {
		return err
	}
	defer func() { value.Release() }()
	if value == nil {
		if err := r.openPending(ctx); err != nil {
			return err
		}
	}
	next := r.record.Reached(StatePending, r.worker.now().UTC())
	if err := r.taken.Begin(ctx, r.record.Token, value, next); err != nil {
		return err
	}
	r.record, r.taken.PendingAt = next, r.record.Token
	r.log.InfoContext(ctx, "rotation pending")
	if value != nil {
		r.job.Pending, value = value, nil
	}
	return nil
}

// openPending opens the version that the target has stored itself.
func (r *run) openPending(ctx context.Context) (err error) {
	r.job.Pending, err = r.taken.Open(ctx, r.record.Token)
	if err == nil && r.job.Pending == nil {
		err = refused(nil, "the target has not stored the pending version under its token")
	}
	return err
}

// take takes one step and records it. An effect on the target begins with much
// of the lease left, which is renewed meanwhile; if it is lost ctx ends.
func (r *run) take(ctx context.Context, step Step) (over bool, err error) {
	now := func() time.Time { return r.worker.now().UTC() }
	if err := r.held.ensure(ctx); err != nil {
		return true, err
	}
	var reached State
	switch step {
	case DoSet:
		err, reached = r.rotator.Set(ctx, r.job), StateSet
	case DoTest:
		err, reached = r.rotator.Test(ctx, r.job, Pending), StateTested
	case DoFinish:
		if f, ok := r.rotator.(Finisher); ok {
			err = f.Finish(ctx, r.job)
		}
		reached = StateFinished
	case DoAbandon:
		reached = StateAbandoned
	default:
		return true, nil
	}
	if err != nil {
		return true, r.fail(ctx, string(step), err)
	}
	next := r.record.Reached(reached, now())
	switch reached {
	case StateFinished:
		_, r.taken.RetireOld = r.rotator.(Retirer)
		err = r.taken.Finish(ctx, next.Token, next)
	case StateAbandoned:
		err = r.taken.Abandon(ctx, next.Token, next)
	default:
		err = r.taken.Save(ctx, string(reached), next, time.Time{})
	}
	if err != nil {
		return true, err
	}
	r.record = next
	r.log.InfoContext(ctx, "rotation "+string(reached))
	return reached.Over(), nil
}

// fail records a failure and when to try again; or that nobody will.
func (r *run) fail(ctx context.Context, step string, failure error) error {
	if ctx.Err() != nil || errors.Is(failure, store.ErrFenced) {
		return ctx.Err() // we stop, or another works: no fault of the target's
	}
	if r.record.ID == "" {
		r.record.ID, r.record.Started = secret.NewVersionID(), r.worker.now().UTC()
	}
	r.record = r.record.Failed(failure, r.worker.now().UTC(), luck())
	r.tell(ctx, step, failure)
	return r.taken.Fail(ctx, step, r.record, r.record.NextAttempt, asOf(r.record))
}

func (r *run) stick(ctx context.Context) error {
	r.record = r.record.Stuck(ErrUnverified, r.worker.now().UTC())
	r.tell(ctx, "probe", ErrUnverified)
	return r.taken.Stick(ctx, r.record, asOf(r.record))
}

// tell logs a failure with its class and the next attempt.
func (r *run) tell(ctx context.Context, step string, failure error) {
	level, text := slog.LevelWarn, "rotation failed"
	if r.record.State == StateStuck {
		level, text = slog.LevelError, "rotation is stuck"
	}
	var cause error
	if e, ok := asError(failure); ok {
		cause = e.Cause
	}
	r.log.Log(ctx, level, text, "step", step, "class", string(r.record.Class), "detail", r.record.Detail,
		"attempts", r.record.Attempts, "nextAttempt", r.record.NextAttempt, "cause", cause)
}

// asOf is the last failure of a record as an error.
func asOf(r Record) error { return &Error{Class: r.Class, Detail: string(r.Class) + ": " + r.Detail} }

// luck is a random number.
func luck() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}
