package wire

import (
	"fmt"
	"maps"
	"time"

	"fastness/internal/schedule"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// List is one page. NextCursor is empty on the last.
type List[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"nextCursor"`
}

// ListOf returns the page with each item in its wire form.
func ListOf[T, U any](items []T, convert func(T) U, next string) List[U] {
	list := List[U]{Items: make([]U, 0, len(items)), NextCursor: next}
	for _, item := range items {
		list.Items = append(list.Items, convert(item))
	}
	return list
}

// Lists of the API.
type (
	SecretList  = List[Secret]
	VersionList = List[VersionInfo]
	TenantList  = List[TenantInfo]
)

// ValueReply is the reply to a read, without the value that stands beside its
// fields: see AppendValue and DecodeValueReply.
type ValueReply struct {
	Name      string   `json:"name"`
	Version   string   `json:"version"`
	VersionID string   `json:"versionId"`
	Stages    []string `json:"stages"`
}

// Written is the reply to a request that made a version, or found the one it
// had made before.
type Written struct {
	Name         string    `json:"name"`
	Version      string    `json:"version"`
	VersionID    string    `json:"versionId"`
	Stages       []string  `json:"stages"`
	Created      time.Time `json:"created"`
	NextRotation time.Time `json:"nextRotation"`
}

// Secret is a secret's metadata.
type Secret struct {
	Name             string              `json:"name"`
	Description      string              `json:"description"`
	Tags             map[string]string   `json:"tags"`
	RotationRequired bool                `json:"rotationRequired"`
	RotationInterval schedule.Interval   `json:"rotationInterval"`
	LastRotated      time.Time           `json:"lastRotated,omitzero"`
	NextRotation     time.Time           `json:"nextRotation,omitzero"`
	Algorithm        secret.Algorithm    `json:"algorithm"`
	AccessPolicy     secret.AccessPolicy `json:"accessPolicy"`
	Version          string              `json:"version,omitzero"` // current; absent if there is none
	VersionID        string              `json:"versionId,omitzero"`
	Stages           map[string]string   `json:"stages"` // which version each label is on
	Kind             string              `json:"kind,omitzero"`
	Created          time.Time           `json:"created"`
	Changed          time.Time           `json:"changed"`
	LastRead         time.Time           `json:"lastRead,omitzero"` // the day; absent if never
	Deletion         time.Time           `json:"deletion,omitzero"` // when it will be gone; absent if not deleted
}

// SecretOf returns the wire form of i.
func SecretOf(i secret.Info) Secret {
	s := Secret{
		Name:             string(i.Name),
		Description:      i.Metadata.Description,
		Tags:             maps.Clone(i.Metadata.Tags),
		RotationRequired: i.Metadata.RotationRequired,
		RotationInterval: i.Metadata.RotationInterval,
		LastRotated:      i.LastRotated.UTC(),
		NextRotation:     i.NextRotation.UTC(),
		Algorithm:        i.Metadata.Algorithm,
		AccessPolicy:     i.Metadata.AccessPolicy,
		VersionID:        string(i.VersionID),
		Stages:           map[string]string{},
		Created:          i.Created.UTC(),
		Changed:          i.Changed.UTC(),
		LastRead:         i.LastRead.UTC(),
		Deletion:         i.Deletion.UTC(),
	}
	if s.Tags == nil {
		s.Tags = map[string]string{}
	}
	if i.Version != 0 {
		s.Version, s.Kind = i.Version.String(), kindName(i.Kind)
	}
	for label, v := range i.Labels {
		s.Stages[string(label)] = v.String()
	}
	return s
}

// Info returns what the client gives to its caller. The secret's ID stays zero:
// the wire does not carry it.
func (s Secret) Info() (secret.Info, error) {
	name, err := secret.ParseName(s.Name)
	if err != nil {
		return secret.Info{}, err
	}
	version, err := optionalVersion(s.Version)
	if err != nil {
		return secret.Info{}, err
	}
	kind, err := parseKind(s.Kind)
	if err != nil {
		return secret.Info{}, err
	}
	labels := make(map[secret.Label]secret.Version, len(s.Stages))
	for l, n := range s.Stages {
		if labels[secret.Label(l)], err = secret.ParseVersion(n); err != nil {
			return secret.Info{}, err
		}
	}
	return secret.Info{
		Name: name,
		Metadata: secret.Metadata{
			Description:      s.Description,
			Tags:             s.Tags,
			Algorithm:        s.Algorithm,
			RotationRequired: s.RotationRequired,
			RotationInterval: s.RotationInterval,
			AccessPolicy:     s.AccessPolicy,
		},
		Kind:         kind,
		Version:      version,
		VersionID:    secret.VersionID(s.VersionID),
		Labels:       labels,
		Created:      s.Created,
		Changed:      s.Changed,
		LastRotated:  s.LastRotated,
		NextRotation: s.NextRotation,
		LastRead:     s.LastRead,
		Deletion:     s.Deletion,
	}, nil
}

// VersionInfo is what is told of a version.
type VersionInfo struct {
	Version   string           `json:"version"`
	VersionID string           `json:"versionId"`
	Stages    []string         `json:"stages"`
	Algorithm secret.Algorithm `json:"algorithm"`
	Kind      string           `json:"kind"`
	Created   time.Time        `json:"created"`
	LastRead  time.Time        `json:"lastRead,omitzero"` // the day; absent if never
}

// VersionInfoOf returns the wire form of v.
func VersionInfoOf(v secret.VersionInfo) VersionInfo {
	return VersionInfo{
		Version:   v.Version.String(),
		VersionID: string(v.ID),
		Stages:    StagesOf(v.Labels),
		Algorithm: v.Algorithm,
		Kind:      kindName(v.Kind),
		Created:   v.Created.UTC(),
		LastRead:  v.LastRead.UTC(),
	}
}

// Info returns what the client gives to its caller.
func (v VersionInfo) Info() (secret.VersionInfo, error) {
	n, err := secret.ParseVersion(v.Version)
	if err != nil {
		return secret.VersionInfo{}, err
	}
	kind, err := parseKind(v.Kind)
	if err != nil {
		return secret.VersionInfo{}, err
	}
	return secret.VersionInfo{
		Version:   n,
		ID:        secret.VersionID(v.VersionID),
		Kind:      kind,
		Algorithm: v.Algorithm,
		Labels:    LabelsOf(v.Stages),
		Created:   v.Created,
		LastRead:  v.LastRead,
	}, nil
}

// StagesOf returns labels in their wire form, never nil.
func StagesOf(labels []secret.Label) []string {
	stages := make([]string, len(labels))
	for i, l := range labels {
		stages[i] = string(l)
	}
	return stages
}

// LabelsOf returns the labels of a reply.
func LabelsOf(stages []string) []secret.Label {
	labels := make([]secret.Label, len(stages))
	for i, s := range stages {
		labels[i] = secret.Label(s)
	}
	return labels
}

// TenantInfo is what is told of a tenant.
type TenantInfo struct {
	Tenant    string           `json:"tenant"`
	AccountID string           `json:"accountId"`
	State     string           `json:"state"` // active, suspended or erased
	Algorithm secret.Algorithm `json:"algorithm"`
	KeyNumber uint32           `json:"keyNumber"`
	Created   time.Time        `json:"created"`
}

// TenantCreated is the reply to making a tenant, with its administrator's
// credentials, which are never told again. Encode it with Append alone.
type TenantCreated struct {
	Tenant          string            `json:"tenant"`
	Token           *secretbuf.Buffer `json:"token"`
	AccessKeyID     string            `json:"accessKeyId"`
	SecretAccessKey *secretbuf.Buffer `json:"secretAccessKey"`
	AccountID       string            `json:"accountId"`
	Region          string            `json:"region"`
}

// Release wipes the credentials.
func (t TenantCreated) Release() {
	t.Token.Release()
	t.SecretAccessKey.Release()
}

func kindName(k secret.Kind) string {
	if k == secret.Binary {
		return "binary"
	}
	return "text"
}

// parseKind reads a kind; the empty one, of a secret without a current
// version, is Text, the zero Kind.
func parseKind(s string) (secret.Kind, error) {
	switch s {
	case "", "text":
		return secret.Text, nil
	case "binary":
		return secret.Binary, nil
	}
	return 0, secret.Invalid("kind", "text or binary")
}

func optionalVersion(s string) (secret.Version, error) {
	if s == "" {
		return 0, nil
	}
	v, err := secret.ParseVersion(s)
	if err != nil {
		return 0, fmt.Errorf("reading the current version: %w", err)
	}
	return v, nil
}
