package audit

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"fastness/internal/secret"
)

// Action says what was done or tried.
type Action string

// The actions on secrets.
const (
	Create   Action = "create"
	Read     Action = "read"
	Update   Action = "update"
	Delete   Action = "delete"
	Rotate   Action = "rotate"
	List     Action = "list"
	Describe Action = "describe"
	Restore  Action = "restore"
	Purge    Action = "purge"
	Label    Action = "label"
)

// The administrative actions. Login is somebody who came in to be given a
// session, or a refused authentication: a token or a key that was accepted is
// recorded by what it was used for. Throttle is a request above its
// tenant's rate, of which nothing more was looked at.
const (
	Login            Action = "login"
	Throttle         Action = "throttle"
	TenantCreate     Action = "tenant.create"
	TenantList       Action = "tenant.list"
	TenantSuspend    Action = "tenant.suspend"
	TenantResume     Action = "tenant.resume"
	TenantErase      Action = "tenant.erase"
	PrincipalCreate  Action = "principal.create"
	PrincipalList    Action = "principal.list"
	PrincipalUpdate  Action = "principal.update"
	PrincipalDisable Action = "principal.disable"
	PrincipalEnable  Action = "principal.enable"
	PrincipalDelete  Action = "principal.delete"
	TokenCreate      Action = "token.create"
	TokenList        Action = "token.list"
	TokenRotate      Action = "token.rotate"
	TokenRevoke      Action = "token.revoke"
	AccessKeyCreate  Action = "accesskey.create"
	AccessKeyList    Action = "accesskey.list"
	AccessKeyRotate  Action = "accesskey.rotate"
	AccessKeyRevoke  Action = "accesskey.revoke"
	QuotaRead        Action = "quota.read"
	QuotaSet         Action = "quota.set"
	KeyRotate        Action = "key.rotate"
	AuditList        Action = "audit.list"
	AuditExport      Action = "audit.export"
	AuditCheckpoint  Action = "audit.checkpoint"
	AuditProof       Action = "audit.proof"
	AuditRedact      Action = "audit.redact"
	AuditArchive     Action = "audit.archive"
	AuditKeys        Action = "audit.keys"
	AuditKeysRotate  Action = "audit.keys.rotate"
	ServerStart      Action = "server.start"
)

// The actions by which somebody proves who they are, and by which it is said what
// proves it. A refused authentication is a Login, too.
const (
	Logout          Action = "logout"
	IssuerPut       Action = "issuer.put"
	IssuerList      Action = "issuer.list"
	IssuerDelete    Action = "issuer.delete"
	AuthorityPut    Action = "ca.put"
	AuthorityList   Action = "ca.list"
	AuthorityDelete Action = "ca.delete"
	PasswordSet     Action = "password.set"
	PasswordRemove  Action = "password.remove"
	FactorList      Action = "factor.list"
	FactorEnrol     Action = "factor.enrol"
	FactorConfirm   Action = "factor.confirm"
	FactorVerify    Action = "factor.verify"
	FactorRecover   Action = "factor.recover"
	FactorRemove    Action = "factor.remove"
)

// The actions on a tenant's rules, and on who may do what by them.
const (
	PolicyPut      Action = "policy.put"
	PolicyRead     Action = "policy.read"
	PolicyList     Action = "policy.list"
	PolicyDelete   Action = "policy.delete"
	PolicyTest     Action = "policy.test"
	SettingsRead   Action = "settings.read"
	SettingsUpdate Action = "settings.update"
	AccessExplain  Action = "access.explain"
	AccessWho      Action = "access.who"
	AccessReview   Action = "access.review"
)

// Actions on whole deployments. What stands before a BackupRestore entry was
// logged under another name and other keys.
const (
	BackupRestore Action = "backup.restore"
)

// The actions of those who follow what happens to a tenant's secrets.
const (
	EventsOpen  Action = "events.open"
	EventsClose Action = "events.close"

	WebhookCreate Action = "webhook.create"
	WebhookList   Action = "webhook.list"
	WebhookUpdate Action = "webhook.update"
	WebhookDelete Action = "webhook.delete"
	WebhookTest   Action = "webhook.test"
)

// Result says how it ended.
type Result string

// The results.
const (
	Success          Result = "success"
	NotFound         Result = "not_found"
	AccessDenied     Result = "access_denied"
	DecryptionFailed Result = "decryption_failed"
	Failed           Result = "failed"
)

// System is the userId of the deployment's own work.
const System = "system"

// Limits of an entry's texts, in bytes. Longer text of a client is cut; a
// longer Detail is an error, because it is of our own making.
const (
	MaxSecretName    = 512
	MaxUserID        = 256
	MaxTarget        = 256
	MaxIPAddress     = 64
	MaxUserAgent     = 256
	MaxError         = 512
	MaxCorrelationID = 128
	MaxVersionText   = 64
	MaxNonce         = 128
	MaxDetail        = 8 << 10
	maxWord          = 32 // an action or a result
)

// Entry is one line of the log: an access, a refusal, or an administrative
// act. It never holds a value of a secret.
//
// SecretName, UserID, Target, IPAddress, UserAgent and Error are the personal part:
// the tree commits to them without holding them, and after a redaction they
// are empty and Redacted is set. All else is public within the log and must
// name no person.
//
// Its JSON has the field names of the design, times with nine decimals in UTC.
type Entry struct {
	Index int64  // leaf index in the deployment's tree; set once sequenced
	Seq   uint64 // number within the tenant's chain, from 1; 0 if not sequenced

	Timestamp     time.Time
	Action        Action
	SecretName    string
	TenantID      secret.TenantName // the tenant's name; empty for the deployment itself
	UserID        string            // who did it
	Target        string            // the principal whom it was done to, if one was
	IPAddress     string
	UserAgent     string
	Result        Result
	Error         string
	CorrelationID string
	Version       string
	OldVersion    string
	NewVersion    string

	Count    int64  // of like events that this entry stands for; 0 if it stands for itself
	Nonce    string // of the caller of an export
	TreeSize int64  // size of the checkpoint that was handed out, or that an export is to continue; 0 if none
	Detail   string // what happened, in our own words, naming no person; may have several lines
	Redacted bool   // the personal part was deleted
}

// entryJSON is Entry's JSON form. It has no methods, so that other forms can
// embed it.
type entryJSON struct {
	Index         int64             `json:"index"`
	Seq           uint64            `json:"seq"`
	Timestamp     string            `json:"timestamp"`
	Action        Action            `json:"action"`
	SecretName    string            `json:"secretName"`
	TenantID      secret.TenantName `json:"tenantId"`
	UserID        string            `json:"userId"`
	Target        string            `json:"target,omitempty"`
	IPAddress     string            `json:"ipAddress"`
	UserAgent     string            `json:"userAgent"`
	Result        Result            `json:"result"`
	Error         string            `json:"error"`
	CorrelationID string            `json:"correlationId"`
	Version       string            `json:"version,omitempty"`
	OldVersion    string            `json:"oldVersion,omitempty"`
	NewVersion    string            `json:"newVersion,omitempty"`
	Count         int64             `json:"count,omitempty"`
	Nonce         string            `json:"nonce,omitempty"`
	TreeSize      int64             `json:"treeSize,omitempty"`
	Detail        string            `json:"detail,omitempty"`
	Redacted      bool              `json:"redacted,omitempty"`
}

// timeLayout has all nine decimals, so that texts sort as times do.
const timeLayout = "2006-01-02T15:04:05.000000000Z"

func formatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(timeLayout, s)
	if err != nil || formatTime(t) != s {
		return time.Time{}, errors.New("time is not RFC 3339 in UTC with nine decimals")
	}
	return t, nil
}

func toJSON(e *Entry) entryJSON {
	return entryJSON{
		Index: e.Index, Seq: e.Seq, Timestamp: formatTime(e.Timestamp), Action: e.Action,
		SecretName: e.SecretName, TenantID: e.TenantID, UserID: e.UserID, Target: e.Target,
		IPAddress: e.IPAddress, UserAgent: e.UserAgent, Result: e.Result, Error: e.Error,
		CorrelationID: e.CorrelationID, Version: e.Version, OldVersion: e.OldVersion,
		NewVersion: e.NewVersion, Count: e.Count, Nonce: e.Nonce, TreeSize: e.TreeSize,
		Detail: e.Detail, Redacted: e.Redacted,
	}
}

func fromJSON(j *entryJSON) (Entry, error) {
	t, err := parseTime(j.Timestamp)
	return Entry{
		Index: j.Index, Seq: j.Seq, Timestamp: t, Action: j.Action,
		SecretName: j.SecretName, TenantID: j.TenantID, UserID: j.UserID, Target: j.Target,
		IPAddress: j.IPAddress, UserAgent: j.UserAgent, Result: j.Result, Error: j.Error,
		CorrelationID: j.CorrelationID, Version: j.Version, OldVersion: j.OldVersion,
		NewVersion: j.NewVersion, Count: j.Count, Nonce: j.Nonce, TreeSize: j.TreeSize,
		Detail: j.Detail, Redacted: j.Redacted,
	}, err
}

// MarshalJSON writes the entry with the field names of the design.
func (e Entry) MarshalJSON() ([]byte, error) { return json.Marshal(toJSON(&e)) }

// UnmarshalJSON reads what MarshalJSON writes.
func (e *Entry) UnmarshalJSON(b []byte) error {
	var j entryJSON
	err := json.Unmarshal(b, &j)
	if err != nil {
		return err
	}
	*e, err = fromJSON(&j)
	return err
}

// clean bounds and sanitises every text of the entry, and refuses what only a
// fault of ours can have put there.
func (e *Entry) clean() error {
	e.SecretName = Clean(e.SecretName, MaxSecretName)
	e.UserID = Clean(e.UserID, MaxUserID)
	e.Target = Clean(e.Target, MaxTarget)
	e.IPAddress = Clean(e.IPAddress, MaxIPAddress)
	e.UserAgent = Clean(e.UserAgent, MaxUserAgent)
	e.Error = Clean(e.Error, MaxError)
	e.CorrelationID = Clean(e.CorrelationID, MaxCorrelationID)
	e.Version = Clean(e.Version, MaxVersionText)
	e.OldVersion = Clean(e.OldVersion, MaxVersionText)
	e.NewVersion = Clean(e.NewVersion, MaxVersionText)
	e.Nonce = Clean(e.Nonce, MaxNonce)
	if len(e.Detail) > MaxDetail {
		return errDetail
	}
	e.Detail = clean(e.Detail, 3*MaxDetail, '\n') // replacing may triple it
	return e.check()
}

// The span of times that a record can hold: nanoseconds since 1970 in 63 bits.
var (
	minTime = time.Unix(0, 0)
	maxTime = time.Unix(0, 1<<63-1)
)

var errDetail = errors.New("detail is too long")

// check refuses what no stored record holds.
func (e *Entry) check() error {
	switch {
	case e.Timestamp.Before(minTime) || e.Timestamp.After(maxTime):
		return errors.New("timestamp is out of range")
	case !isWord(string(e.Action)):
		return errors.New("action is not a word")
	case !isWord(string(e.Result)):
		return errors.New("result is not a word")
	case e.Count < 0 || e.TreeSize < 0:
		return errors.New("count or tree size is negative")
	case len(e.Detail) > MaxDetail:
		return errDetail
	case len(e.SecretName) > MaxSecretName || len(e.UserID) > MaxUserID || len(e.Target) > MaxTarget || len(e.IPAddress) > MaxIPAddress ||
		len(e.UserAgent) > MaxUserAgent || len(e.Error) > MaxError || len(e.CorrelationID) > MaxCorrelationID ||
		len(e.Version) > MaxVersionText || len(e.OldVersion) > MaxVersionText ||
		len(e.NewVersion) > MaxVersionText || len(e.Nonce) > MaxNonce:
		return errors.New("a text is too long")
	}
	if e.TenantID == "" {
		return nil
	}
	_, err := secret.ParseTenantName(string(e.TenantID))
	return err
}

// isWord reports whether s can be an action or a result. The set is open, so
// that an older verifier reads a newer log.
func isWord(s string) bool {
	if len(s) == 0 || len(s) > maxWord {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && c != '.' && c != '_' {
			return false
		}
	}
	return true
}

// Clean makes text of a client fit for the log: invalid UTF-8, control
// characters, line separators and characters that turn the direction of
// writing become U+FFFD, and what passes max bytes is cut at a character's
// boundary.
func Clean(s string, max int) string { return clean(s, max, utf8.RuneError) }

// clean is Clean that lets the rune keep through.
func clean(s string, max int, keep rune) string {
	if len(s) <= max && isPlain(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isUnsafe(r) && r != keep {
			r = utf8.RuneError
		}
		if b.Len()+utf8.RuneLen(r) > max {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// isPlain reports whether s is printable ASCII, which most texts are.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func isUnsafe(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
}
