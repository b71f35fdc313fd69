package wire

import (
	"fmt"

	"fastness/internal/schedule"
	"fastness/internal/secret"
)

// Changes are the metadata that a request may set. A field that is absent is
// left as it is, or gets its default if the secret is being made.
type Changes struct {
	Description      *string              `json:"description,omitzero"`
	Tags             map[string]string    `json:"tags,omitzero"` // replaces all
	Algorithm        *secret.Algorithm    `json:"algorithm,omitzero"`
	RotationRequired *bool                `json:"rotationRequired,omitzero"`
	RotationInterval *schedule.Interval   `json:"rotationInterval,omitzero"`
	AccessPolicy     *secret.AccessPolicy `json:"accessPolicy,omitzero" wire:"clearable"` // null clears it
}

// ChangesOf returns the request's form of a patch.
func ChangesOf(p secret.Patch) Changes { return Changes(p) }

// Patch returns the changes as the vault takes them, checked against the
// limits of the native front.
func (c Changes) Patch() (secret.Patch, error) {
	p := secret.Patch(c)
	probe := secret.Metadata{Algorithm: secret.AES256GCM, RotationInterval: schedule.Default}
	if err := p.Apply(probe).ValidateNative(); err != nil {
		return secret.Patch{}, err
	}
	return p, nil
}

// PutRequest stores a value, which it carries: see DecodeValue.
type PutRequest struct {
	RequestToken string `json:"requestToken,omitzero"` // becomes the version's id
	// Stages go to the new version in the place of AWSCURRENT, which the first
	// version of a secret has in any case. Empty is none, absent AWSCURRENT.
	Stages []string `json:"stages,omitzero"`
	Changes
}

// Labels reads Stages; nil if they are absent.
func (r PutRequest) Labels() ([]secret.Label, error) {
	if r.Stages == nil {
		return nil, nil
	}
	if len(r.Stages) > secret.MaxLabels {
		return nil, secret.Limited("stages", fmt.Sprintf("at most %d labels", secret.MaxLabels))
	}
	labels := make([]secret.Label, len(r.Stages))
	for i, s := range r.Stages {
		var err error
		if labels[i], err = secret.ParseLabel(s); err != nil {
			return nil, err
		}
	}
	return labels, nil
}

// CreateRequest is a PutRequest for a secret that must not exist.
type CreateRequest struct {
	Name string `json:"name"`
	PutRequest
}

// UpdateRequest changes metadata without a new version.
type UpdateRequest struct {
	Changes
}

// RotateRequest makes a new version. It may carry the value: see
// DecodeOptionalValue; without one, a rule makes it.
type RotateRequest struct {
	RequestToken string `json:"requestToken,omitzero"`
}

// LabelRequest moves a staging label.
type LabelRequest struct {
	Version string `json:"version"`
	// ExpectedVersion is where the label must be now: absent, anywhere; empty,
	// on no version.
	ExpectedVersion *string `json:"expectedVersion,omitzero"`
}

// Versions reads both numbers. expected is nil if the request expects
// nothing, and points to 0 if it expects the label to be on no version.
func (r LabelRequest) Versions() (to secret.Version, expected *secret.Version, err error) {
	if to, err = secret.ParseVersion(r.Version); err != nil || r.ExpectedVersion == nil {
		return to, nil, err
	}
	expected = new(secret.Version)
	if *r.ExpectedVersion != "" {
		*expected, err = secret.ParseVersion(*r.ExpectedVersion)
	}
	if err != nil {
		return 0, nil, secret.Invalid("expectedVersion", "a whole number from 1, or empty")
	}
	return to, expected, nil
}

// TenantCreateRequest makes a tenant.
type TenantCreateRequest struct {
	Tenant    string `json:"tenant"`
	Algorithm string `json:"algorithm,omitzero"` // of new secrets
}

// TenantUpdateRequest suspends or resumes a tenant, or changes the algorithm
// of its new secrets.
type TenantUpdateRequest struct {
	State     *string `json:"state,omitzero"` // active or suspended
	Algorithm *string `json:"algorithm,omitzero"`
}
