package rotation

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

// maxConfig is the most bytes of a rotator's config.
const maxConfig = 16 << 10

// Rotator changes one kind of credential. It keeps nothing between calls, is
// safe for concurrent use and must survive a crash at any moment: each step may
// be repeated, and after a crash it will be. A new kind is a file that
// implements Rotator and a row in kinds.
//
// Errors are of type *Error or those of package secret; see ClassOf.
type Rotator interface {
	// Check reports whether the rotator can work with a secret's current value.
	// It does not ask the target.
	Check(current *secretbuf.Buffer) error
	// Make returns the new value, which the caller releases. It changes nothing
	// but may ask. ErrMadeElsewhere says that the target stores it itself.
	Make(context.Context, *Job) (*secretbuf.Buffer, error)
	// Set makes the target accept Pending. Afterwards Current may or may not
	// work, by the rotator's kind. With a Pending that is accepted already it
	// changes nothing. Where the target can hold other sessions off, it does so,
	// then asks Job.Confirm, then changes: a worker that was frozen and overtaken
	// changes nothing when it wakes.
	Set(context.Context, *Job) error
	// Test logs in with one of the job's credentials: ErrUnverified if the
	// target does not accept it, another error if that is not known.
	Test(context.Context, *Job, Which) error
}

// Finisher is a Rotator that wants to be told before the labels move.
type Finisher interface {
	Finish(context.Context, *Job) error
}

// Announcer is a Rotator whose Make asks somebody who may look the rotation up:
// it is kept with its token before.
type Announcer interface{ Announces() }

// Retirer is a Rotator whose targets go on accepting the old credential. Retire
// ends that: what Previous holds works no more. It must not be called while a
// rotation is under way.
type Retirer interface {
	Retire(context.Context, *Job) error
}

// Targeter is a Rotator whose target is another host, so that not too many
// rotations may bother the same one at once.
type Targeter interface {
	// Target names the host that a value belongs to.
	Target(current *secretbuf.Buffer) (string, error)
}

// Looker is a Rotator that looks up other secrets.
type Looker interface {
	// Looks returns their names or ARNs, given the secret's current value.
	Looks(current *secretbuf.Buffer) ([]string, error)
}

// ErrMadeElsewhere is returned by Make when the target has stored the pending
// version itself, under the job's token.
var ErrMadeElsewhere = errors.New("the pending value was stored by the target")

// Which names one of a job's credentials.
type Which string

// The credentials of a job.
const (
	Pending  Which = "pending"
	Current  Which = "current"
	Previous Which = "previous"
)

// Job is one rotation of one secret, as far as a rotator sees it. Its Buffers
// are loans; those of versions that there are not are nil.
type Job struct {
	SecretID      string           // the secret's name or ARN, as webhooks are told it
	Token         secret.VersionID // of the pending version
	RotationToken secret.VersionID // names this rotation; for webhooks

	Pending, Current, Previous *secretbuf.Buffer

	// Lookup returns the current value of another secret of the tenant, by
	// name or ARN, for the caller to release. It decides whether that one may
	// be used.
	Lookup func(ctx context.Context, ref string) (*secretbuf.Buffer, error)

	// Confirm reports whether the worker still has its lease: store.ErrFenced if
	// another one works by now. Nil for one that has no rivals.
	Confirm func(ctx context.Context) error
}

// value returns one of the credentials; nil if there is none.
func (j *Job) value(w Which) *secretbuf.Buffer {
	switch w {
	case Pending:
		return j.Pending
	case Current:
		return j.Current
	case Previous:
		return j.Previous
	}
	return nil
}

// lookup returns another secret's value.
func (j *Job) lookup(ctx context.Context, ref string) (*secretbuf.Buffer, error) {
	if j.Lookup == nil {
		return nil, misconfigured("masterarn", "other secrets cannot be read here")
	}
	return j.Lookup(ctx, ref)
}

// confirm asks Confirm.
func (j *Job) confirm(ctx context.Context) error {
	if j.Confirm == nil {
		return nil
	}
	return j.Confirm(ctx)
}

// kinds are the rotators by name.
var kinds = map[string]func(config *secretbuf.Buffer, n Network) (Rotator, error){
	"password": parsePassword,
	"api-key":  parseAPIKey,
	"postgres": parsePostgres,
	"mysql":    parseMySQL,
	"redis":    parseRedis,
	"webhook":  parseWebhook,
}

// Kinds returns the names of all rotators, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Parse makes a rotator of its name and its config, a JSON object, in which
// unknown fields are refused; an empty config is that of all defaults. It asks
// nobody. Errors match ErrMisconfigured and secret.ErrInvalid.
func Parse(name string, config []byte, n Network) (Rotator, error) {
	kind, ok := kinds[name]
	if !ok {
		return nil, misconfigured("rotator", "one of "+strings.Join(Kinds(), ", "))
	}
	if len(config) > maxConfig {
		return nil, misconfigured("rotationConfig", "at most 16 KiB")
	}
	if len(config) == 0 {
		config = []byte("{}")
	}
	b := secretbuf.Take(bytes.Clone(config))
	defer b.Release()
	return kind(b, n)
}

// decodeConfig reads a config strictly.
func decodeConfig(config *secretbuf.Buffer, dst any) error {
	err := wire.Decode(config, dst)
	var invalid *secret.Error
	if errors.As(err, &invalid) {
		field := "rotationConfig"
		if invalid.Field != "body" { // which is the whole
			field += "." + invalid.Field
		}
		return misconfigured(field, invalid.Detail)
	}
	return err
}

// choose checks that a config's word is one of those it may be, the first of
// which is the default.
func choose(field string, word *string, words ...string) error {
	if *word == "" {
		*word = words[0]
	}
	if !slices.Contains(words, *word) {
		return misconfigured("rotationConfig."+field, "one of "+strings.Join(words, ", "))
	}
	return nil
}
