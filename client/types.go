package client

import (
	"io"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/schedule"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

// Value holds secret bytes. It prints as "[secret]", is read with Bytes and
// wiped by Release.
type Value = secretbuf.Buffer

// NewValue copies b into a Value and wipes b.
func NewValue(b []byte) *Value { return secretbuf.Take(b) }

// ReadValue reads r to its end, at most as many bytes as a value may have.
func ReadValue(r io.Reader) (*Value, error) { return secretbuf.ReadAll(r, secret.MaxValue) }

// The vocabulary, the same types as the library's.
type (
	TenantName   = secret.TenantName
	Name         = secret.Name
	Version      = secret.Version
	VersionID    = secret.VersionID
	Label        = secret.Label
	Kind         = secret.Kind
	Algorithm    = secret.Algorithm
	Environment  = secret.Environment
	Interval     = schedule.Interval
	Metadata     = secret.Metadata
	AccessPolicy = secret.AccessPolicy
	Patch        = secret.Patch
	Info         = secret.Info
	VersionInfo  = secret.VersionInfo
	Code         = secret.Code
	Usage        = secret.Usage
	Quotas       = secret.Quotas
	Use          = secret.Use
	Grant        = policy.Grant
	Role         = policy.Role
	Entry        = audit.Entry
	Event        = secret.Event
	EventType    = secret.EventType
)

// What the verbs take and give, the same types as the library's.
type (
	Selector  = store.Selector
	Put       = vault.Put
	Written   = vault.Written
	Reading   = vault.Reading
	ListQuery = vault.ListQuery
	Move      = vault.Move

	TenantInfo   = vault.TenantInfo
	QuotaInfo    = vault.QuotaInfo
	NewTenant    = vault.NewTenant
	TokenSpec    = vault.TokenSpec
	NewToken     = vault.NewToken
	TokenInfo    = vault.TokenInfo
	NewAccessKey = vault.NewAccessKey

	CredentialQuery = vault.CredentialQuery
	PrincipalSpec   = vault.PrincipalSpec
	PrincipalPatch  = vault.PrincipalPatch
	PrincipalInfo   = vault.PrincipalInfo

	NewSession    = vault.NewSession
	NewTOTP       = vault.NewTOTP
	FactorInfo    = vault.FactorInfo
	FactorState   = vault.FactorState
	Issuer        = identity.Issuer
	Authority     = identity.Authority
	Binding       = identity.Binding
	BoundGrant    = identity.BoundGrant
	Methods       = vault.Methods
	LoginProvider = vault.LoginProvider

	PolicyInfo    = vault.PolicyInfo
	Policy        = vault.Policy
	PolicyPut     = vault.PolicyPut
	PolicyTest    = vault.PolicyTest
	PolicyDraft   = vault.PolicyDraft
	PolicyCase    = vault.PolicyCase
	Statement     = policy.StatementInfo
	Decision      = policy.Decision
	Effect        = policy.Effect
	Action        = policy.Action
	Settings      = vault.Settings
	SettingsPatch = vault.SettingsPatch

	ExplainQuery     = vault.ExplainQuery
	Explanation      = vault.Explanation
	Denial           = vault.Denial
	WhoQuery         = vault.WhoQuery
	WhoInfo          = vault.WhoInfo
	ReviewQuery      = vault.ReviewQuery
	ReviewInfo       = vault.ReviewInfo
	ReviewCredential = vault.ReviewCredential

	EventQuery    = vault.EventQuery
	AuditQuery    = vault.AuditQuery
	ExportOptions = vault.ExportOptions
	RedactQuery   = vault.RedactQuery
	AuditPage     = vault.AuditPage

	ArchiveState   = wire.ArchiveState
	ArchiveRequest = wire.ArchiveRequest
)

// How a secret rotates by itself, as the API tells it.
type (
	RotationPolicy = wire.RotationRequest
	Rotation       = wire.Rotation
	RotationRecord = wire.RotationRecord
	RotationStep   = wire.RotationStep
	Consumer       = wire.Consumer
)

// Provided is an Issuer or an Authority with what is told of it beside.
type Provided[T any] = vault.Provided[T]

// Page is a part of a list; Next asks for the part after it and is empty on the last.
type Page[T any] = vault.Page[T]

// Constants of the vocabulary.
const (
	Current  = secret.Current
	Previous = secret.Previous
	Pending  = secret.Pending

	Text   = secret.Text
	Binary = secret.Binary

	AES256GCM     = secret.AES256GCM
	HybridQuantum = secret.HybridQuantum

	Admin   = policy.Admin
	Writer  = policy.Writer
	Reader  = policy.Reader
	Rotator = policy.Rotator
	Auditor = policy.Auditor

	EventCreated        = secret.EventCreated
	EventChanged        = secret.EventChanged
	EventRotated        = secret.EventRotated
	EventLabeled        = secret.EventLabeled
	EventUnlabeled      = secret.EventUnlabeled
	EventUpdated        = secret.EventUpdated
	EventDeleted        = secret.EventDeleted
	EventRestored       = secret.EventRestored
	EventPurged         = secret.EventPurged
	EventRotationFailed = secret.EventRotationFailed
	EventRotationStuck  = secret.EventRotationStuck

	Service = store.Service
	Person  = store.Person

	Deny    = policy.Deny
	Hide    = policy.Hide
	NeedMFA = policy.NeedMFA
	Allow   = policy.Allow
)

// The states that callers branch on, with errors.Is.
var (
	ErrNotFound        = secret.ErrNotFound
	ErrUnauthenticated = secret.ErrUnauthenticated
	ErrAccessDenied    = secret.ErrAccessDenied
	ErrMFARequired     = secret.ErrMFARequired
	ErrInvalid         = secret.ErrInvalid
	ErrLimit           = secret.ErrLimit
	ErrExists          = secret.ErrExists
	ErrConflict        = secret.ErrConflict
	ErrDeleted         = secret.ErrDeleted
	ErrSuspended       = secret.ErrSuspended
	ErrDecryption      = secret.ErrDecryption
	ErrGone            = secret.ErrGone
	ErrArchived        = secret.ErrArchived
	ErrNoGenerator     = secret.ErrNoGenerator
	ErrTooMany         = secret.ErrTooMany
	ErrQuota           = secret.ErrQuota
	ErrUnavailable     = secret.ErrUnavailable
	ErrUnknownOutcome  = secret.ErrUnknownOutcome
	ErrInternal        = secret.ErrInternal
)
