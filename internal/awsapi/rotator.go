package awsapi

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/vault"
)

const (
	// rotatorPrefix begins the name of a rotator in the place of a function's ARN.
	rotatorPrefix = "fastness:rotator/"
	// webhookRotator is what a URL in that place means.
	webhookRotator = "webhook"
)

// rotationPolicy is what a secret's rules mean here; ours is false for a function
// that nothing here can call. What a rotator is to know stands in
// ExternalSecretRotationMetadata: as JSON in the item "config", or for a URL in
// items of the webhook's own.
func rotationPolicy(r secret.AWSRotation) (p vault.RotationPolicy, ours bool, err error) {
	p = vault.RotationPolicy{Schedule: r.Schedule, Duration: r.Duration}
	if r.Days != 0 {
		p.Schedule = fmt.Sprintf("rate(%d days)", r.Days)
		if r.Days == 1 {
			p.Schedule = "rate(1 day)"
		}
	}
	name, named := strings.CutPrefix(r.Function, rotatorPrefix)
	switch {
	case named:
		p.Rotator = name
		p.Config, err = namedConfig(r.External)
		return p, true, err
	case strings.HasPrefix(r.Function, "https://") || strings.HasPrefix(r.Function, "http://"):
		p.Rotator = webhookRotator
		p.Config, err = webhookConfig(r.Function, r.External)
		return p, true, err
	}
	return p, false, nil
}

func namedConfig(items []secret.AWSMetadata) (json.RawMessage, error) {
	if len(items) == 0 {
		return nil, nil
	}
	if config := items[0]; len(items) == 1 && config.Key == "config" && json.Valid([]byte(config.Text)) {
		return json.RawMessage(config.Text), nil
	}
	return nil, invalidParameter(`ExternalSecretRotationMetadata of a rotator has the item "config" alone, a JSON object.`)
}

// webhookConfig is that of a receiver which stores the pending value itself, as
// functions of AWS do. Without a key to sign by, it is asked without.
func webhookConfig(url string, items []secret.AWSMetadata) (json.RawMessage, error) {
	config := map[string]any{"url": url, "value": "receiver", "unsigned": true}
	for _, item := range items {
		switch item.Key {
		case "signingKey":
			delete(config, "unsigned")
			config[item.Key] = item.Text
		case "caCertificate":
			config[item.Key] = item.Text
		case "timeoutSeconds":
			n, err := strconv.Atoi(item.Text)
			if err != nil {
				return nil, invalidParameter("timeoutSeconds in ExternalSecretRotationMetadata must be a number.")
			}
			config[item.Key] = n
		default:
			return nil, invalidParameter("ExternalSecretRotationMetadata of a webhook has the items signingKey, caCertificate and timeoutSeconds.")
		}
	}
	return json.Marshal(config)
}

// rotationStatus is how a secret's rotation stands; the zero value is that of one
// that does not rotate by itself.
type rotationStatus struct{ rotation.Status }

func statusOf(d vault.Detail) (rotationStatus, error) {
	if d.Rotation == nil {
		return rotationStatus{}, nil
	}
	s, err := rotation.StatusOf(*d.Rotation, nil)
	if err != nil {
		err = secret.ErrInternal.With(err)
	}
	return rotationStatus{s}, err
}

// pending is the version that a rotation is to make; empty without one.
func (s rotationStatus) pending() secret.VersionID {
	switch {
	case s.Now != nil:
		return s.Now.Token
	case s.Asked && !s.Policy.Paused:
		return s.Token
	}
	return ""
}

// knows reports whether a rotation of that token is under way or over.
func (s rotationStatus) knows(token secret.VersionID) bool {
	for _, past := range s.Past {
		if past.Token == token {
			return true
		}
	}
	return s.pending() == token
}

// rotated is when the last rotation was finished; zero if none was.
func (s rotationStatus) rotated() time.Time {
	for _, past := range s.Past {
		if past.State == rotation.StateFinished {
			return past.Changed
		}
	}
	return time.Time{}
}

// describe tells how the secret is rotated. Rules that came through another
// front are told as if they had come through this one.
func (s rotationStatus) describe(d vault.Detail, out *description) {
	r := d.AWS.Rotation
	if r.IsZero() && d.Rotation != nil {
		r = secret.AWSRotation{Enabled: true, Function: rotatorPrefix + d.Rotation.Policy.Rotator, Schedule: d.Rotation.Policy.Schedule, Duration: d.Rotation.Policy.Duration}
	}
	if r.IsZero() {
		return
	}
	enabled := r.Enabled && !(d.Rotation != nil && d.Rotation.Policy.Paused)
	out.RotationEnabled, out.RotationLambdaARN = &enabled, r.Function
	out.ExternalSecretRotationRoleArn = r.ExternalRole
	for _, item := range r.External {
		out.ExternalSecretRotationMetadata = append(out.ExternalSecretRotationMetadata, externalItem{item.Key, item.Text})
	}
	out.RotationRules, out.LastRotatedDate = rulesOf(r), epoch(s.rotated())
	if enabled && d.Rotation != nil {
		out.NextRotationDate = epoch(d.NextRotation)
	}
}
