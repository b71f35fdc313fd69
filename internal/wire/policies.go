package wire

import (
	"time"

	"fastness/internal/secret"
)

// Lists of the API.
type (
	PolicyList      = List[PolicyInfo]
	DecisionList    = List[Decision]
	ExplanationList = List[Explanation]
	WhoList         = List[Who]
	ReviewList      = List[Review]
)

// PolicyInfo is what is told of a policy, or of one version of it.
type PolicyInfo struct {
	Name    string    `json:"name"`
	Version int64     `json:"version"`
	Bytes   int       `json:"bytes"`
	SHA256  string    `json:"sha256"` // of the text, in hexadecimal
	Created time.Time `json:"created"`
}

// Policy is a version of a policy.
type Policy struct {
	PolicyInfo
	Text       string       `json:"text"`
	Statements []Statement  `json:"statements"`
	Versions   []PolicyInfo `json:"versions"` // those that are kept, newest first
}

// Statement is one statement of a policy, or one that a grant stands for.
type Statement struct {
	ID     string `json:"id"`
	Effect string `json:"effect"` // permit or forbid
	Line   int    `json:"line,omitzero"`
	Text   string `json:"text"`
}

// PolicyRequest stores a policy.
type PolicyRequest struct {
	Text string `json:"text"`
	// ExpectedVersion must be in force now, 0 for none; absent: any.
	ExpectedVersion *int64 `json:"expectedVersion,omitzero"`
}

// PolicyTestRequest asks what would be decided, with drafts in the place of
// stored policies.
type PolicyTestRequest struct {
	Drafts []PolicyDraft `json:"drafts,omitzero"`
	Cases  []PolicyCase  `json:"cases"`
}

// PolicyDraft is a policy that is not stored.
type PolicyDraft struct {
	Name string `json:"name"`
	Text string `json:"text,omitzero"` // absent: without the stored one
}

// PolicyCase is one request to decide on.
type PolicyCase struct {
	Principal   string            `json:"principal"`
	Kind        string            `json:"kind,omitzero"` // person or service makes one up; absent: the tenant's principal
	Grants      []Grant           `json:"grants,omitzero"`
	Service     string            `json:"service,omitzero"`
	Environment string            `json:"environment,omitzero"`
	Action      string            `json:"action"`
	Secret      secret.Name       `json:"secret,omitzero"`
	Tags        map[string]string `json:"tags,omitzero"` // makes a secret up; absent: the tenant's, or none
	Address     string            `json:"address,omitzero"`
	MFAAge      *int64            `json:"mfaAge,omitzero"` // seconds; absent: no second factor was given
	Time        time.Time         `json:"time,omitzero"`   // absent: now
}

// Decision is whether a request is allowed, and why.
type Decision struct {
	Effect     string      `json:"effect"`          // allow, deny, hide (as if the secret were not there) or mfa
	By         string      `json:"by"`              // the part that settled it, such as grants, policy or accessPolicy.allowedServices
	Reason     string      `json:"reason,omitzero"` // of a refusal
	Statements []Statement `json:"statements"`      // that permit, or forbid
	Wants      []string    `json:"wants,omitzero"`  // what would have to hold to be allowed
}

// SettingsReply tells a tenant's settings.
type SettingsReply struct {
	MFAWindow   string `json:"mfaWindow"` // how long a second factor counts, as "5m"
	MFAForRead  bool   `json:"mfaForRead"`
	MFAForLogin bool   `json:"mfaForLogin"`
	Version     int64  `json:"version"` // how often they were changed
}

// SettingsUpdateRequest changes those settings that it has.
type SettingsUpdateRequest struct {
	MFAWindow       *string `json:"mfaWindow,omitzero"`
	MFAForRead      *bool   `json:"mfaForRead,omitzero"`
	MFAForLogin     *bool   `json:"mfaForLogin,omitzero"`
	ExpectedVersion *int64  `json:"expectedVersion,omitzero"`
}

// Explanation is a decision with the credentials on which it is the same.
type Explanation struct {
	Decision      Decision `json:"decision"`
	CredentialIDs []string `json:"credentialIds"`
	// Login: also on a token without grants of its own, as a login makes.
	Login bool `json:"login"`
}

// Denial is a request that was refused.
type Denial struct {
	ID           string      `json:"id"`
	Time         time.Time   `json:"time"`
	Principal    string      `json:"principal,omitzero"`
	CredentialID string      `json:"credentialId,omitzero"`
	Action       string      `json:"action,omitzero"`
	Secret       secret.Name `json:"secret,omitzero"`
	Answer       string      `json:"answer"` // the code that the caller got
	Reason       string      `json:"reason"`
	Now          *Decision   `json:"now,omitzero"` // absent: the principal or its credential is no more
}

// Who is what one principal may do.
type Who struct {
	Principal string   `json:"principal"`
	Kind      string   `json:"kind"`
	Actions   []string `json:"actions"`
	WithMFA   []string `json:"withMfa"` // also these, with a fresh second factor
}

// Review is what a review tells of one principal.
type Review struct {
	Principal   string             `json:"principal"`
	Kind        string             `json:"kind"`
	Grants      []Grant            `json:"grants"` // empty: left to each credential
	Service     string             `json:"service,omitzero"`
	Environment string             `json:"environment,omitzero"`
	Created     time.Time          `json:"created"`
	Disabled    time.Time          `json:"disabled,omitzero"` // absent: enabled
	LastUsed    time.Time          `json:"lastUsed,omitzero"` // the day; absent if never
	LastRead    time.Time          `json:"lastRead,omitzero"` // the day of the last read of a value; absent if never
	Factors     []string           `json:"factors"`           // kinds of second factors
	Credentials []ReviewCredential `json:"credentials"`       // ended ones too
}

// ReviewCredential is what a review tells of one credential.
type ReviewCredential struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"`            // token or accessKey
	Source   string    `json:"source,omitzero"` // how it was come by; absent: made by hand
	Grants   []Grant   `json:"grants"`          // empty: the principal's
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"` // absent: never
	Revoked  time.Time `json:"revoked,omitzero"`
	LastUsed time.Time `json:"lastUsed,omitzero"`
}
