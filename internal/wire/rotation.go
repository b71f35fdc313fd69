package wire

import (
	"encoding/json"
	"time"
)

// Lists of the API.
type (
	RotationHistory = List[RotationRecord]
	ConsumerList    = List[Consumer]
)

// RotationRequest has a secret rotate by itself. What is absent gets its
// default: nothing of an older policy stays, but whether it is paused.
type RotationRequest struct {
	Rotator  string          `json:"rotator,omitzero"`         // absent: the name decides
	Config   json.RawMessage `json:"rotationConfig,omitempty"` // of the rotator
	Schedule string          `json:"schedule,omitzero"`        // 7d 30d 90d 180d 365d, rate(…) or cron(…); absent: the secret's interval
	Duration string          `json:"duration,omitzero"`        // of a window, 1h to 24h
	Uses     []string        `json:"uses,omitzero"`            // further secrets that the rotator may look up
	// RetireAfter has an old credential revoked on the target when everybody who
	// had read it has read a newer one, and at the latest then: 30m, 12h, 7d.
	RetireAfter string `json:"retireAfter,omitzero"`
}

// Rotation tells how a secret rotates by itself, and how it stands.
type Rotation struct {
	Name         string          `json:"name"`
	Rotator      string          `json:"rotator,omitzero"`
	Config       json.RawMessage `json:"rotationConfig,omitempty"`
	Schedule     string          `json:"schedule,omitzero"`
	Duration     string          `json:"duration,omitzero"`
	Uses         []string        `json:"uses,omitzero"`
	RetireAfter  string          `json:"retireAfter,omitzero"`
	Paused       bool            `json:"paused,omitzero"`
	LastRotated  time.Time       `json:"lastRotated,omitzero"`
	NextRotation time.Time       `json:"nextRotation,omitzero"`
	// State is idle, asked, starting, pending, set, tested or stuck.
	State    string          `json:"state"`
	Overdue  bool            `json:"overdue,omitzero"`  // due for more than an hour
	Rotation *RotationRecord `json:"rotation,omitzero"` // under way
	Last     *RotationRecord `json:"last,omitzero"`     // the newest that is over
	Retiring *Retiring       `json:"retiring,omitzero"` // the credential that the newest has replaced, while it is still valid
}

// Retiring is an old credential that is to be revoked.
type Retiring struct {
	VersionID string    `json:"versionId"`
	Until     time.Time `json:"until"`           // then also if somebody still uses it
	Failed    string    `json:"failed,omitzero"` // why the last attempt has failed
}

// Consumer is a principal that has read a secret.
type Consumer struct {
	Principal string    `json:"principal"`
	Version   string    `json:"version"`  // the newest that it has read
	LastRead  time.Time `json:"lastRead"` // the day
	Behind    bool      `json:"behind"`   // that version is older than the current one
}

// RotationRecord tells of one rotation. It holds nothing of any value.
type RotationRecord struct {
	ID          string         `json:"id"`
	State       string         `json:"state"`             // empty if it has not begun
	VersionID   string         `json:"versionId"`         // of the version that it makes
	FromVersion string         `json:"fromVersionId"`     // of the one that was current
	Started     time.Time      `json:"started"`           //
	Changed     time.Time      `json:"changed"`           // when the state was last written
	Steps       []RotationStep `json:"steps"`             // the states so far
	Attempts    int            `json:"attempts,omitzero"` // failed ones since the last step
	Class       string         `json:"class,omitzero"`    // of the last failure: unreachable, refused, verification_failed or config
	Detail      string         `json:"detail,omitzero"`   // the same, in words
	NextAttempt time.Time      `json:"nextAttempt,omitzero"`
}

// RotationStep is a state that a rotation has reached.
type RotationStep struct {
	State string    `json:"state"`
	At    time.Time `json:"at"`
}
