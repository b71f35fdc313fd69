// Package fastness is a secrets manager for many tenants, to run inside a
// program: the same manager that the fastness server serves, over the embedded
// store or PostgreSQL.
//
// Open a Vault on a folder or a database, make tenants with its Operator handle, and work
// with a tenant's secrets through a Session. Values travel in a Value, which
// prints as "[secret]" and is wiped by Release; they are never Go strings.
// Every access is durable in a tamper-evident audit log when the call that
// made it returns.
//
// The names here are the library's promise; what lies under internal is not.
package fastness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"fastness/internal/audit"
	"fastness/internal/identity"
	"fastness/internal/policy"
	"fastness/internal/rootkey"
	"fastness/internal/schedule"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/store/postgres"
	"fastness/internal/store/sqlite"
	"fastness/internal/vault"
)

// The manager and its handles.
type (
	// Vault is an open secrets manager. Safe for concurrent use; Close it.
	Vault = vault.Vault
	// Caller is an authenticated principal, or the program itself (Vault.Local).
	Caller = vault.Caller
	// Origin is where a request came from, for its audit entry.
	Origin = vault.Origin
	// Session is one caller's handle to one tenant's secrets.
	Session = vault.Session
	// Operator is a caller's handle to the deployment: its tenants and keys.
	Operator = vault.Operator
	// Audit is a caller's handle to the audit log.
	Audit = vault.Audit
	// Credentials is a caller's handle to tokens and access keys.
	Credentials = vault.Credentials
	// Factors is a caller's handle to second factors of its own.
	Factors = vault.Factors
	// Anchor is a place outside to which every checkpoint is sent.
	Anchor = vault.Anchor
)

// Who says who somebody is.
type (
	// Issuer is a provider of tokens that a tenant trusts.
	Issuer = identity.Issuer
	// Authority is a CA whose client certificates a tenant trusts.
	Authority = identity.Authority
	// Binding says who the bearer of certain claims is.
	Binding = identity.Binding
	// BoundGrant is a grant that comes with a binding.
	BoundGrant = identity.BoundGrant
	// NewSession is the short-lived token that a login or an exchange gives.
	NewSession = vault.NewSession
	// NewTOTP is an authenticator that is being enrolled.
	NewTOTP = vault.NewTOTP
	// FactorInfo is what is told of a second factor.
	FactorInfo = vault.FactorInfo
	// FactorState is what is told of a caller's second factors.
	FactorState = vault.FactorState
	// RelyingParty is as whom the deployment meets security keys.
	RelyingParty = identity.RelyingParty
)

// Provided is an Issuer or an Authority with what is told of it beside.
type Provided[T any] = vault.Provided[T]

// What goes in and what comes back.
type (
	// Value holds a secret value in memory that Release wipes.
	Value = secretbuf.Buffer
	// Put is a new version of a secret.
	Put = vault.Put
	// Written tells what a write made.
	Written = vault.Written
	// Reading is an opened version; release its Value.
	Reading = vault.Reading
	// Selector picks a version; the zero value picks AWSCURRENT.
	Selector = store.Selector
	// ListQuery asks for secrets.
	ListQuery = vault.ListQuery
	// Move puts a staging label on a version.
	Move = vault.Move
	// Patch changes some of a secret's metadata.
	Patch = secret.Patch
	// Info is a secret's metadata.
	Info = secret.Info
	// VersionInfo is a version's metadata.
	VersionInfo = secret.VersionInfo
	// AccessPolicy says which services and environments may use a secret.
	AccessPolicy = secret.AccessPolicy
	// TenantInfo is what is told of a tenant.
	TenantInfo = vault.TenantInfo
	// NewTenant is a tenant with its administrator's credentials; release it.
	NewTenant = vault.NewTenant
	// TokenSpec says what token to make.
	TokenSpec = vault.TokenSpec
	// NewToken is a token, told only once; release its Token.
	NewToken = vault.NewToken
	// TokenInfo is what is told of a credential.
	TokenInfo = vault.TokenInfo
	// NewAccessKey is an access key, told only once; release its Secret.
	NewAccessKey = vault.NewAccessKey
	// CredentialQuery asks for credentials.
	CredentialQuery = vault.CredentialQuery
	// PrincipalSpec says what principal to make.
	PrincipalSpec = vault.PrincipalSpec
	// PrincipalPatch changes some of a principal.
	PrincipalPatch = vault.PrincipalPatch
	// PrincipalInfo is what is told of a principal.
	PrincipalInfo = vault.PrincipalInfo
	// PrincipalKind tells services, people and operators apart.
	PrincipalKind = store.PrincipalKind
	// Grant gives a role over name patterns.
	Grant = policy.Grant
	// AuditQuery asks for audit entries.
	AuditQuery = vault.AuditQuery
	// AuditPage is a page of audit entries.
	AuditPage = vault.AuditPage
	// ArchiveState tells what of the audit log was archived.
	ArchiveState = vault.ArchiveState
	// Archived names a segment of the audit log that is kept outside.
	Archived = vault.Archived
	// AuditFilter selects audit entries.
	AuditFilter = audit.Filter
	// AuditEntry is a line of the audit log.
	AuditEntry = audit.Entry
	// ExportOptions say what an audit export shows besides the entries.
	ExportOptions = vault.ExportOptions
	// RedactQuery says whose personal part of the audit log is deleted.
	RedactQuery = vault.RedactQuery
)

// Who may do what, and why not.
type (
	// Policies is a caller's handle to a tenant's own policies and settings.
	Policies = vault.Policies
	// PolicyInfo is what is told of a policy.
	PolicyInfo = vault.PolicyInfo
	// Policy is a version of a policy.
	Policy = vault.Policy
	// PolicyPut is a new version of a policy.
	PolicyPut = vault.PolicyPut
	// PolicyTest asks what would be decided, by the rules in force or by a draft.
	PolicyTest = vault.PolicyTest
	// PolicyDraft is a policy that is not stored.
	PolicyDraft = vault.PolicyDraft
	// PolicyCase is one request of a PolicyTest.
	PolicyCase = vault.PolicyCase
	// Statement is one statement of a policy.
	Statement = policy.StatementInfo
	// Decision is an Effect with its reasons.
	Decision = policy.Decision
	// Effect is whether a request is allowed, and if not, how it is refused.
	Effect = policy.Effect
	// Action is what a caller wants to do.
	Action = policy.Action
	// Settings are a tenant's rules on second factors, with their version.
	Settings = vault.Settings
	// SettingsPatch changes some of a tenant's settings.
	SettingsPatch = vault.SettingsPatch
	// Access is a reviewer's handle to who may do what in a tenant.
	Access = vault.Access
	// ExplainQuery asks why somebody may do something, or not.
	ExplainQuery = vault.ExplainQuery
	// Explanation is a decision with the credentials on which it is the same.
	Explanation = vault.Explanation
	// Denial is a request that was refused.
	Denial = vault.Denial
	// WhoQuery asks who may do what.
	WhoQuery = vault.WhoQuery
	// WhoInfo is what one principal may do.
	WhoInfo = vault.WhoInfo
	// ReviewQuery asks for a page of a review.
	ReviewQuery = vault.ReviewQuery
	// ReviewInfo is what a review tells of one principal.
	ReviewInfo = vault.ReviewInfo
)

// Page is a part of a list; Next is where the next one begins.
type Page[T any] = vault.Page[T]

// The vocabulary.
type (
	// TenantName is a tenant's name: 1 to 63 of a-z, 0-9 and '-'.
	TenantName = secret.TenantName
	// Name is a secret's name.
	Name = secret.Name
	// Version numbers a secret's versions from 1.
	Version = secret.Version
	// VersionID is a UUID, or the request token a version was written under.
	VersionID = secret.VersionID
	// Label is a staging label.
	Label = secret.Label
	// Algorithm says how data keys are sealed.
	Algorithm = secret.Algorithm
	// Kind tells text from binary values.
	Kind = secret.Kind
	// Environment is where a service runs.
	Environment = secret.Environment
	// Interval is a rotation interval.
	Interval = schedule.Interval
	// Error is an error of the business, with a stable Code.
	Error = secret.Error
	// Quotas are hard limits of a tenant; a zero is no limit.
	Quotas = secret.Quotas
	// QuotaInfo is what is told of a tenant's quotas.
	QuotaInfo = vault.QuotaInfo
	// Usage is how much of a limit is used.
	Usage = secret.Usage
)

// Algorithms, kinds of value, staging labels, roles, kinds of principal and effects.
const (
	AES256GCM     = secret.AES256GCM
	HybridQuantum = secret.HybridQuantum

	Text   = secret.Text
	Binary = secret.Binary

	Current  = secret.Current
	Previous = secret.Previous
	Pending  = secret.Pending

	Admin   = policy.Admin
	Writer  = policy.Writer
	Reader  = policy.Reader
	Rotator = policy.Rotator
	Auditor = policy.Auditor

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

// NewValue copies b into a Value and wipes b.
func NewValue(b []byte) *Value { return secretbuf.Take(b) }

// Config says how a Vault is opened.
type Config struct {
	// Dir is the folder of the embedded store; it is made if it is not there.
	Dir string
	// Store is, instead of Dir, the URL of a PostgreSQL database,
	// postgres://…, which any number of processes may share.
	Store string
	// MasterKey is the root key's material, at least 64 characters. Open
	// borrows it; release it afterwards.
	MasterKey *Value
	// PreviousMasterKey is the old material while the root key changes.
	PreviousMasterKey *Value
	// Region appears in ARNs; default us-east-1.
	Region string
	// Logger receives what only the operator may know; default slog.Default.
	Logger *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Anchor receives every checkpoint of the audit log; nil for none.
	Anchor Anchor
	// KeyCache bounds how many unwrapped tenant keys are kept; default 4,096.
	KeyCache int
	// Quotas bind every tenant, beside those that are set for it with
	// Operator.SetQuotas; the tighter holds. The zero value binds nobody.
	Quotas Quotas
	// LoopbackIssuers lets tenants trust issuers of tokens on this very machine,
	// and there without TLS: for development and tests.
	LoopbackIssuers bool
	// RelyingParty is as whom the deployment meets security keys; without origins
	// none can be enrolled.
	RelyingParty RelyingParty
	// NoBackground leaves out the work that a Vault does by itself, for a
	// program that opens it for one action.
	NoBackground bool
}

// embeddedNode holds the leases of an embedded store, which only one process
// can have open.
const embeddedNode = "embedded"

// Open opens the store in c.Dir, or makes it, and proves the root key right
// before anything is changed.
func Open(ctx context.Context, c Config) (*Vault, error) {
	if (c.Dir == "") == (c.Store == "") {
		return nil, errors.New("opening vault: one of Config.Dir and Config.Store is needed")
	}
	if c.MasterKey == nil {
		return nil, errors.New("opening vault: Config.MasterKey is nil")
	}
	for _, key := range []*Value{c.MasterKey, c.PreviousMasterKey} {
		if key == nil {
			continue
		}
		if err := rootkey.Check(key.Bytes()); err != nil {
			return nil, err
		}
	}
	s, node, err := openStore(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("opening vault: %w", err)
	}
	v, err := vault.Open(ctx, vault.Config{
		Store: s, Master: c.MasterKey, PreviousMaster: c.PreviousMasterKey, Region: c.Region, Now: c.Now,
		Logger: c.Logger, Anchor: c.Anchor, KeyCache: c.KeyCache, Quotas: c.Quotas, Node: node, NoBackground: c.NoBackground,
		LoopbackIssuers: c.LoopbackIssuers, RelyingParty: c.RelyingParty,
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return v, nil
}

// openStore opens the store, and names this process among those that share it;
// an empty name is drawn at random.
func openStore(ctx context.Context, c Config) (s store.Store, node string, err error) {
	if c.Store != "" {
		s, err = postgres.Open(ctx, postgres.Config{URL: c.Store, Logger: c.Logger})
		return s, "", err
	}
	s, err = sqlite.Open(ctx, sqlite.Config{Dir: c.Dir, Logger: c.Logger})
	return s, embeddedNode, err
}
