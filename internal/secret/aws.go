package secret

import "slices"

// AWS is what the AWS protocol keeps of a secret beyond its metadata. The core
// stores it with the secret's row and gives it no meaning; the front for that
// protocol reads, checks and enforces it.
type AWS struct {
	KMSKeyID string `json:"kmsKeyId,omitzero"` // as the client gave it
	Type     string `json:"type,omitzero"`     // of a managed external secret
	Policy   string `json:"policy,omitzero"`   // the resource policy; empty for none
	Tagged   bool   `json:"tagged,omitzero"`   // it has, or had, a tag
	Home     string `json:"home,omitzero"`     // the region it is written in; empty for the deployment's first
	Suffix   string `json:"suffix,omitzero"`   // of its ARN; empty for the one that its id makes

	Rotation AWSRotation  `json:"rotation,omitzero"`
	Replicas []AWSReplica `json:"replicas,omitempty"`
}

// AWSRotation is how a secret is to be rotated.
type AWSRotation struct {
	Enabled      bool          `json:"enabled,omitzero"`
	Function     string        `json:"function,omitzero"` // RotationLambdaARN
	Days         int64         `json:"days,omitzero"`     // AutomaticallyAfterDays
	Duration     string        `json:"duration,omitzero"`
	Schedule     string        `json:"schedule,omitzero"`
	External     []AWSMetadata `json:"external,omitempty"`
	ExternalRole string        `json:"externalRole,omitzero"`
}

// AWSMetadata is one item about an external secret.
type AWSMetadata struct {
	Key  string `json:"key"`
	Text string `json:"text"`
}

// AWSReplica is a view of a secret in another region.
type AWSReplica struct {
	Region   string `json:"region"`
	KMSKeyID string `json:"kmsKeyId,omitzero"`
	Failure  string `json:"failure,omitzero"` // why it is not there; empty: it is in step
}

// IsZero reports whether there is nothing to keep.
func (a AWS) IsZero() bool {
	return a.KMSKeyID == "" && a.Type == "" && a.Policy == "" && !a.Tagged && a.Home == "" && a.Suffix == "" && a.Rotation.IsZero() && len(a.Replicas) == 0
}

// IsZero reports whether the secret was never to be rotated.
func (r AWSRotation) IsZero() bool {
	return !r.Enabled && r.Function == "" && r.Days == 0 && r.Duration == "" && r.Schedule == "" &&
		len(r.External) == 0 && r.ExternalRole == ""
}

// Clone returns a copy that shares nothing.
func (a AWS) Clone() AWS {
	a.Rotation.External = slices.Clone(a.Rotation.External)
	a.Replicas = slices.Clone(a.Replicas)
	return a
}
