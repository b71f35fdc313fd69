package awsapi

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"fastness/internal/secret"
)

// epoch is a time as the protocol writes it: seconds with a fraction.
type epoch time.Time

// IsZero reports whether the time is to be left out.
func (e epoch) IsZero() bool { return time.Time(e).IsZero() }

// MarshalJSON writes the number, to the millisecond.
func (e epoch) MarshalJSON() ([]byte, error) { return []byte(e.text()), nil }

func (e epoch) text() string {
	return strconv.FormatFloat(float64(time.Time(e).UnixMilli())/1000, 'f', 3, 64)
}

// tag is one of a secret's tags.
type tag struct {
	Key  string `json:"Key"`
	Text string `json:"Value"`
}

// tags are a secret's in the protocol's form, by key; nil if it never had one.
func tags(m map[string]string, ever bool) []tag {
	if len(m) == 0 && !ever {
		return nil
	}
	out := make([]tag, 0, len(m))
	for k, v := range m {
		out = append(out, tag{k, v})
	}
	slices.SortFunc(out, func(a, b tag) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	return out
}

// identity is how most answers begin.
type identity struct {
	ARN       string `json:"ARN"`
	Name      string `json:"Name"`
	VersionID string `json:"VersionId,omitzero"`
}

// replicaStatus is one of a secret's replicas.
type replicaStatus struct {
	Region           string `json:"Region"`
	KmsKeyID         string `json:"KmsKeyId,omitzero"`
	Status           string `json:"Status"`
	StatusMessage    string `json:"StatusMessage,omitzero"`
	LastAccessedDate epoch  `json:"LastAccessedDate,omitzero"`
}

// rotationRules say when a secret is rotated.
type rotationRules struct {
	AutomaticallyAfterDays *int64 `json:"AutomaticallyAfterDays,omitzero"`
	Duration               string `json:"Duration,omitzero"`
	ScheduleExpression     string `json:"ScheduleExpression,omitzero"`
}

// externalItem is something about an external secret.
type externalItem struct {
	Key  string `json:"Key"`
	Text string `json:"Value"`
}

// description is what DescribeSecret and ListSecrets tell.
type description struct {
	ARN                            string                        `json:"ARN"`
	Name                           string                        `json:"Name"`
	Type                           string                        `json:"Type,omitzero"`
	Description                    string                        `json:"Description,omitzero"`
	KmsKeyID                       string                        `json:"KmsKeyId,omitzero"`
	RotationEnabled                *bool                         `json:"RotationEnabled,omitzero"`
	RotationLambdaARN              string                        `json:"RotationLambdaARN,omitzero"`
	RotationRules                  *rotationRules                `json:"RotationRules,omitzero"`
	ExternalSecretRotationMetadata []externalItem                `json:"ExternalSecretRotationMetadata,omitzero"`
	ExternalSecretRotationRoleArn  string                        `json:"ExternalSecretRotationRoleArn,omitzero"`
	LastRotatedDate                epoch                         `json:"LastRotatedDate,omitzero"`
	LastChangedDate                epoch                         `json:"LastChangedDate,omitzero"`
	LastAccessedDate               epoch                         `json:"LastAccessedDate,omitzero"`
	DeletedDate                    epoch                         `json:"DeletedDate,omitzero"`
	NextRotationDate               epoch                         `json:"NextRotationDate,omitzero"`
	Tags                           []tag                         `json:"Tags,omitzero"`
	VersionIDsToStages             map[secret.VersionID][]string `json:"VersionIdsToStages,omitzero"`
	SecretVersionsToStages         map[secret.VersionID][]string `json:"SecretVersionsToStages,omitzero"`
	CreatedDate                    epoch                         `json:"CreatedDate,omitzero"`
	PrimaryRegion                  string                        `json:"PrimaryRegion,omitzero"`
	ReplicationStatus              []replicaStatus               `json:"ReplicationStatus,omitzero"`
}

// listed is the reply of ListSecrets.
type listed struct {
	SecretList []description `json:"SecretList"`
	Next       string        `json:"NextToken,omitzero"`
}

var _ json.Marshaler = epoch{}
