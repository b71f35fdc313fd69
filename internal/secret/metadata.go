package secret

import (
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"fastness/internal/schedule"
)

// Algorithm says how a version's data key is sealed.
type Algorithm string

// The algorithms of the registry.
const (
	AES256GCM     Algorithm = "aes-256-gcm"    // under the tenant's KEK
	HybridQuantum Algorithm = "hybrid-quantum" // to the tenant's ML-KEM-768 + X25519 key, then under the KEK
)

// ParseAlgorithm checks s.
func ParseAlgorithm(s string) (Algorithm, error) {
	switch a := Algorithm(s); a {
	case AES256GCM, HybridQuantum:
		return a, nil
	}
	return "", Invalid("algorithm", "aes-256-gcm or hybrid-quantum")
}

// Kind says whether a value is text, given back as a JSON string, or binary,
// given back in base64.
type Kind uint8

// The kinds of value.
const (
	Text Kind = iota
	Binary
)

// Environment is where a service runs.
type Environment string

// The environments.
const (
	Dev     Environment = "dev"
	Staging Environment = "staging"
	Prod    Environment = "prod"
)

// ParseEnvironment checks s. The empty string is no environment.
func ParseEnvironment(s string) (Environment, error) {
	switch e := Environment(s); e {
	case "", Dev, Staging, Prod:
		return e, nil
	}
	return "", Invalid("environment", "dev, staging or prod")
}

// AccessPolicy is the part of an access decision that a secret brings along. A
// nil list allows all, an empty one allows none.
type AccessPolicy struct {
	AllowedServices     []string      `json:"allowedServices,omitzero"`
	AllowedEnvironments []Environment `json:"allowedEnvironments,omitzero"`
	RequiresMFA         bool          `json:"requiresMFA,omitempty"`
}

// IsZero reports whether the policy allows everybody.
func (p AccessPolicy) IsZero() bool {
	return p.AllowedServices == nil && p.AllowedEnvironments == nil && !p.RequiresMFA
}

// Equal reports whether both say the same, telling nil lists from empty ones.
func (p AccessPolicy) Equal(q AccessPolicy) bool {
	return p.RequiresMFA == q.RequiresMFA &&
		(p.AllowedServices == nil) == (q.AllowedServices == nil) && slices.Equal(p.AllowedServices, q.AllowedServices) &&
		(p.AllowedEnvironments == nil) == (q.AllowedEnvironments == nil) && slices.Equal(p.AllowedEnvironments, q.AllowedEnvironments)
}

// Validate checks the entries of the lists and their number.
func (p AccessPolicy) Validate() error {
	if len(p.AllowedServices) > MaxAccessEntries {
		return Limited("accessPolicy.allowedServices", fmt.Sprintf("at most %d entries", MaxAccessEntries))
	}
	for _, s := range p.AllowedServices {
		if err := CheckService("accessPolicy.allowedServices", s); err != nil {
			return err
		}
	}
	if len(p.AllowedEnvironments) > MaxAccessEntries {
		return Limited("accessPolicy.allowedEnvironments", fmt.Sprintf("at most %d entries", MaxAccessEntries))
	}
	for _, e := range p.AllowedEnvironments {
		if _, err := ParseEnvironment(string(e)); err != nil || e == "" {
			return Invalid("accessPolicy.allowedEnvironments", "dev, staging or prod")
		}
	}
	return nil
}

// CheckService checks a service's name: 1 to 128 printable characters.
func CheckService(field, s string) error {
	if n := utf8.RuneCountInString(s); n < 1 || n > 128 {
		return Limited(field, "1 to 128 characters")
	}
	return CheckLine(field, s)
}

// Metadata is what a secret carries besides its versions.
type Metadata struct {
	Description      string
	Tags             map[string]string
	Algorithm        Algorithm
	RotationRequired bool
	RotationInterval schedule.Interval
	AccessPolicy     AccessPolicy
}

// Patch changes some fields of a Metadata; nil leaves a field as it is. Tags
// replace the whole set.
type Patch struct {
	Description      *string
	Tags             map[string]string
	Algorithm        *Algorithm
	RotationRequired *bool
	RotationInterval *schedule.Interval
	AccessPolicy     *AccessPolicy
}

// IsZero reports whether the patch changes nothing.
func (p Patch) IsZero() bool {
	return p.Description == nil && p.Tags == nil && p.Algorithm == nil &&
		p.RotationRequired == nil && p.RotationInterval == nil && p.AccessPolicy == nil
}

// Apply returns m with the patch's fields in place.
func (p Patch) Apply(m Metadata) Metadata {
	set(&m.Description, p.Description)
	set(&m.Algorithm, p.Algorithm)
	set(&m.RotationRequired, p.RotationRequired)
	set(&m.RotationInterval, p.RotationInterval)
	set(&m.AccessPolicy, p.AccessPolicy)
	if p.Tags != nil {
		m.Tags = maps.Clone(p.Tags)
	}
	return m
}

func set[T any](dst *T, v *T) {
	if v != nil {
		*dst = *v
	}
}

// Validate checks every field against the core's limits.
func (m Metadata) Validate() error { return m.validate(MaxDescription, MaxTagValue) }

// ValidateNative checks every field against the native front's limits.
func (m Metadata) ValidateNative() error { return m.validate(MaxNativeDescription, MaxNativeTagValue) }

func (m Metadata) validate(description, tagValue int) error {
	if utf8.RuneCountInString(m.Description) > description {
		return Limited("description", fmt.Sprintf("at most %d characters", description))
	}
	if err := CheckText("description", m.Description); err != nil {
		return err
	}
	if len(m.Tags) > MaxTags {
		return Limited("tags", fmt.Sprintf("at most %d tags", MaxTags))
	}
	for k, v := range m.Tags {
		if err := checkTag(k, v, tagValue); err != nil {
			return err
		}
	}
	if _, err := ParseAlgorithm(string(m.Algorithm)); err != nil {
		return err
	}
	if !m.RotationInterval.Valid() {
		return Invalid("rotationInterval", "7d, 30d, 90d, 180d or 365d")
	}
	return m.AccessPolicy.Validate()
}

func checkTag(key, value string, limit int) error {
	if n := utf8.RuneCountInString(key); n < 1 || n > MaxTagKey {
		return Limited("tags", fmt.Sprintf("keys of 1 to %d characters", MaxTagKey))
	}
	if utf8.RuneCountInString(value) > limit {
		return Limited("tags", fmt.Sprintf("values of at most %d characters", limit))
	}
	if err := CheckLine("tags", key); err != nil {
		return err
	}
	return CheckText("tags", value)
}

// Info is what describe and list tell of a secret: never a value.
type Info struct {
	Name         Name
	ID           ID
	Metadata     Metadata
	Kind         Kind    // of the current version
	Version      Version // the current version; 0 if there is none
	VersionID    VersionID
	Labels       map[Label]Version
	Created      time.Time
	Changed      time.Time
	LastRotated  time.Time // when the newest version came to be
	NextRotation time.Time
	LastRead     time.Time // day of the last read; zero if never
	Deletion     time.Time // when the recovery window ends; zero if not deleted
}

// VersionInfo is what is told of a version: never its value.
type VersionInfo struct {
	Version   Version
	ID        VersionID
	Kind      Kind
	Algorithm Algorithm
	Labels    []Label // sorted
	Created   time.Time
	LastRead  time.Time // day of the last read; zero if never
}
