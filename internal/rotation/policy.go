package rotation

import (
	"bytes"
	"context"
	"encoding/json"

	"fastness/internal/audit"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/vault"
)

// Set has a secret rotate by itself, or changes how: vault.Session.SetRotation
// for a policy that is checked here. The rotator's config must be one that Parse
// takes, the secret's current value one that the rotator can work with, and the
// secrets that it looks up must be the caller's to read. Without a rotator the
// secret's name decides. An error changes nothing, and names the field at fault.
func Set(ctx context.Context, s *vault.Session, n Network, name secret.Name, p vault.RotationPolicy) (Status, error) {
	rotator, err := rotatorOf(name, p, n)
	if err == nil {
		p.Config, err = compact(p.Config)
	}
	if err != nil {
		return Status{}, s.Refused(ctx, audit.Update, name, err)
	}
	if _, ok := rotator.(Retirer); !ok && p.RetireAfter != "" {
		return Status{}, s.Refused(ctx, audit.Update, name, misconfigured("retireAfter", "only with a rotator that can revoke: postgres, mysql, redis"))
	}
	p.Check = func(current *secretbuf.Buffer) ([]string, error) {
		if err := rotator.Check(current); err != nil {
			return nil, err
		}
		if l, ok := rotator.(Looker); ok {
			return l.Looks(current)
		}
		return nil, nil
	}
	return StatusOf(s.SetRotation(ctx, name, p))
}

// rotatorOf makes the rotator of a policy; without a name in it the secret's
// decides.
func rotatorOf(name secret.Name, p vault.RotationPolicy, n Network) (Rotator, error) {
	switch {
	case p.Rotator != "":
		return Parse(p.Rotator, p.Config, n)
	case len(p.Config) > 0:
		return nil, misconfigured("rotationConfig", "it belongs to a rotator")
	case !canGenerate(name):
		return nil, misconfigured("rotator", secret.ErrNoGenerator.Detail)
	}
	return generator{func() *secretbuf.Buffer { return generate(name) }}, nil
}

// compact takes the spaces out of a config that was parsed.
func compact(config []byte) ([]byte, error) {
	if len(config) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	err := json.Compact(&b, config)
	return b.Bytes(), err
}
