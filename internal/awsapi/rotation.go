package awsapi

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/vault"
)

// Limits of the protocol's model.
const (
	maxFunction      = 2048
	maxRotationDays  = 1000
	maxExpression    = 256
	maxExternalKey   = 256
	maxExternalText  = 2048
	maxExternalItems = 50
)

var (
	durationForm   = regexp.MustCompile(`^[0-9]{1,2}h$`)
	expressionForm = regexp.MustCompile(`^(rate|cron)\([0-9A-Za-z#?*\-/, ]+\)$`)
)

type rotateRequest struct {
	SecretID                       string         `json:"SecretId"`
	ClientRequestID                string         `json:"ClientRequestToken"`
	RotationLambdaARN              string         `json:"RotationLambdaARN"`
	RotationRules                  *rotationRules `json:"RotationRules"`
	ExternalSecretRotationMetadata []externalItem `json:"ExternalSecretRotationMetadata"`
	ExternalSecretRotationRoleArn  string         `json:"ExternalSecretRotationRoleArn"`
	RotateImmediately              *bool          `json:"RotateImmediately"`
}

// rulesOf are a secret's rotation rules in the protocol's form; nil for none.
func rulesOf(r secret.AWSRotation) *rotationRules {
	if r.Days == 0 && r.Duration == "" && r.Schedule == "" {
		return nil
	}
	out := &rotationRules{Duration: r.Duration, ScheduleExpression: r.Schedule}
	if r.Days != 0 {
		out.AutomaticallyAfterDays = &r.Days
	}
	return out
}

// rotateSecret stores how a secret is to be rotated, and asks the worker for a
// rotation. Of a function that is none of ours it says what the real service says
// of one that it cannot invoke.
func rotateSecret(c *call, in *rotateRequest) error {
	if in.ClientRequestID == "" {
		return reject(invalidParameter(errNoToken.Message))
	}
	token, err := requestToken(in.ClientRequestID)
	if err != nil {
		return reject(err)
	}
	session, err := c.onID(in.SecretID)
	if err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return reject(err)
	}
	if in.RotationLambdaARN != "" {
		c.key("secretsmanager:rotationlambdaarn", in.RotationLambdaARN)
	}
	var u rulesUpdate
	d, err := session.Amend(c.context(), c.secret, vault.Amendment{Audit: audit.Rotate, Action: in.action(),
		Change: func(_ *secret.Metadata, a *secret.AWS) (err error) {
			if u, err = c.update(in, a.Rotation); err == nil && !u.sets {
				a.Rotation = u.after
			}
			return err
		}})
	if err != nil {
		return err
	}
	return c.rotate(in, u, d, token)
}

// rulesUpdate is what a request makes of a secret's rules.
type rulesUpdate struct {
	before, after secret.AWSRotation
	policy        vault.RotationPolicy // what they mean here
	ours          bool                 // a rotator of ours follows them
	sets          bool                 // they are to be put in force yet, and stored only then
}

// update reads what a request makes of the rules, which some rotator must be able
// to follow.
func (c *call) update(in *rotateRequest, before secret.AWSRotation) (u rulesUpdate, err error) {
	u.before, u.after = before, before
	in.apply(&u.after)
	u.after.Enabled = true
	if err := c.canRotate(u.after); err != nil {
		return u, err
	}
	u.policy, u.ours, err = rotationPolicy(u.after)
	u.sets = u.ours && (c.row.WorkAt.IsZero() || in.changes())
	return u, err
}

// store stores the rules in the transaction that puts them in force: rules that
// are refused there are not shown either.
func (u rulesUpdate) store(a *secret.AWS) error {
	if !reflect.DeepEqual(a.Rotation, u.before) {
		return secret.Conflict("the rotation's rules were changed meanwhile")
	}
	a.Rotation = u.after
	return nil
}

// action is what the caller must be allowed: who changes how a secret is rotated
// decides what will be in it.
func (in *rotateRequest) action() policy.Action {
	if in.changes() {
		return policy.Update
	}
	return policy.Rotate
}

// changes reports whether the request says how the secret is to be rotated.
func (in *rotateRequest) changes() bool {
	return in.RotationLambdaARN != "" || in.RotationRules != nil || in.ExternalSecretRotationMetadata != nil || in.ExternalSecretRotationRoleArn != ""
}

// canRotate refuses rules that no rotator could follow. A secret may also have a
// rotation that was set through another front.
func (c *call) canRotate(r secret.AWSRotation) error {
	if r.Function == "" && len(r.External) == 0 && c.row.WorkAt.IsZero() {
		return secret.ErrInvalid.With(&fault{Type: typeInvalidRequest, Message: "No Lambda rotation function ARN is associated with this secret."})
	}
	p, ours, err := rotationPolicy(r)
	if !ours || err != nil {
		return err
	}
	_, err = rotation.Parse(p.Rotator, p.Config, c.api.network)
	return err
}

// rotate puts the rules in force and asks for a rotation.
func (c *call) rotate(in *rotateRequest, u rulesUpdate, d vault.Detail, token secret.VersionID) error {
	if !u.ours && (u.after.Function != "" || d.Rotation == nil) {
		return reject(&fault{Type: typeAccessDenied, Message: "Secrets Manager cannot invoke the specified Lambda function. " +
			"Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com."})
	}
	if u.sets {
		u.policy.Amend = u.store
		if _, err := rotation.Set(c.context(), c.session(), c.api.network, c.secret, u.policy); err != nil {
			return err
		}
	}
	if d.Rotation != nil && d.Rotation.Policy.Paused { // by CancelRotateSecret, or by hand
		if _, err := c.session().ResumeRotation(c.context(), c.secret); err != nil {
			return err
		}
	}
	id := c.identify(d.Name, d.ID)
	if in.RotateImmediately != nil && !*in.RotateImmediately {
		return c.reply(id)
	}
	if err := c.ask(d, u.policy, token); err != nil {
		return err
	}
	id.VersionID = string(token)
	return c.reply(id)
}

// ask has the worker rotate the secret, unless it did so for this token. While an
// earlier rotation is not over, that one is tried again instead; a version that
// its receiver has left under AWSPENDING is taken up again.
func (c *call) ask(d vault.Detail, p vault.RotationPolicy, token secret.VersionID) error {
	status, err := statusOf(d)
	if err != nil {
		return err
	}
	if status.knows(token) || slices.Contains(slices.Collect(maps.Values(d.IDs)), token) {
		return nil
	}
	left := d.IDs[d.Labels[secret.Pending]]
	complete := status.Now == nil && (!status.Asked || status.Policy.Paused) && (left == "" || d.Labels[secret.Pending] == d.Labels[secret.Current])
	switch {
	case complete:
	case p.Rotator == webhookRotator:
		token = left
	default:
		token = ""
	}
	if _, err := c.session().AskRotationAs(c.context(), c.secret, token); err != nil || complete {
		return err
	}
	return reject(invalidRequest("A previous rotation isn't complete. That rotation will be reattempted."))
}

func (in *rotateRequest) check() error {
	if len(in.RotationLambdaARN) > maxFunction {
		return validation("rotationLambdaARN", "Member must have length less than or equal to 2048")
	}
	if n := len(in.ExternalSecretRotationRoleArn); n != 0 && (n < 20 || n > 2048) {
		return validation("externalSecretRotationRoleArn", "Member must have length between 20 and 2048, inclusive")
	}
	if len(in.ExternalSecretRotationMetadata) > maxExternalItems {
		return validation("externalSecretRotationMetadata", fmt.Sprintf("Member must have length less than or equal to %d", maxExternalItems))
	}
	for _, item := range in.ExternalSecretRotationMetadata {
		if item.Key == "" || len(item.Key) > maxExternalKey || item.Text == "" || len(item.Text) > maxExternalText {
			return validation("externalSecretRotationMetadata", "Member must have keys of 1 to 256 and values of 1 to 2048 characters")
		}
	}
	if in.RotationRules == nil {
		return nil
	}
	return in.RotationRules.check()
}

func (r *rotationRules) check() error {
	days := r.AutomaticallyAfterDays
	switch {
	case days != nil && r.ScheduleExpression != "":
		return invalidParameter("You can't specify both AutomaticallyAfterDays and ScheduleExpression in RotationRules.")
	case days != nil && (*days < 1 || *days > maxRotationDays):
		return validation("rotationRules.automaticallyAfterDays", "Member must have value between 1 and 1000, inclusive")
	case r.Duration != "" && !durationForm.MatchString(r.Duration):
		return validation("rotationRules.duration", "Member must satisfy regular expression pattern: [0-9]+h")
	case r.ScheduleExpression != "" && (len(r.ScheduleExpression) > maxExpression || !expressionForm.MatchString(strings.TrimSpace(r.ScheduleExpression))):
		return invalidParameter("ScheduleExpression must be of the form rate(...) or cron(...).")
	}
	return nil
}

// apply changes what the request gives. Days and expression take each other's
// place.
func (in *rotateRequest) apply(r *secret.AWSRotation) {
	if in.RotationLambdaARN != "" {
		r.Function = in.RotationLambdaARN
	}
	if in.ExternalSecretRotationRoleArn != "" {
		r.ExternalRole = in.ExternalSecretRotationRoleArn
	}
	if in.ExternalSecretRotationMetadata != nil {
		r.External = nil
		for _, item := range in.ExternalSecretRotationMetadata {
			r.External = append(r.External, secret.AWSMetadata{Key: item.Key, Text: item.Text})
		}
	}
	if rules := in.RotationRules; rules != nil {
		r.Days, r.Schedule, r.Duration = 0, rules.ScheduleExpression, rules.Duration
		if rules.AutomaticallyAfterDays != nil {
			r.Days = *rules.AutomaticallyAfterDays
		}
	}
}

// cancelRotateSecret ends the schedule, and what is under way before its next
// step. A version that a rotation has left under AWSPENDING keeps that label, as
// with AWS, and the journal is kept, so that RotateSecret can go on with it.
func cancelRotateSecret(c *call, in *idRequest) error {
	session, err := c.onID(in.SecretID)
	if err != nil {
		return err
	}
	d, err := session.Amend(c.context(), c.secret, vault.Amendment{Audit: audit.Update, Action: policy.Rotate,
		Change: func(_ *secret.Metadata, a *secret.AWS) error {
			a.Rotation.Enabled = false
			return nil
		}})
	if err != nil {
		return err
	}
	if d.Rotation != nil {
		if _, err := c.session().PauseRotation(c.context(), c.secret); err != nil {
			return err
		}
	}
	id := c.identify(d.Name, d.ID)
	if pending := d.Labels[secret.Pending]; pending != 0 {
		id.VersionID = string(d.IDs[pending])
	}
	return c.reply(id)
}
