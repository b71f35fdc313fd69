package api

import (
	_ "embed"
	"net/http"
	"slices"
	"time"

	"fastness/internal/audit"
)

// Limits of bodies that carry no value, and deadlines of the routes that need
// more than the server's.
const (
	smallBody = 16 << 10
	// A token's grants are lists of patterns, a secret's metadata lists of
	// tags and services.
	mediumBody = 256 << 10

	exportTime = time.Hour        // a million entries take minutes
	rewrapTime = 12 * time.Hour   // a big tenant's versions, or all tenants' keys
	redactTime = 10 * time.Minute // a walk over the log
	tailTime   = time.Hour        // then the client asks again
	eventsTime = time.Hour        // as above, from where it was
)

// Paths.
const (
	tenantPath  = Prefix + "/tenants/{tenant}"
	secretsPath = tenantPath + "/secrets"
	secretPath  = secretsPath + "/{name}"
	stagePath   = secretPath + "/stages/{stage}"
)

const (
	get   = http.MethodGet
	put   = http.MethodPut
	post  = http.MethodPost
	patch = http.MethodPatch
	del   = http.MethodDelete
)

// Query parameters that several routes share.
var (
	pageParams = []Param{
		{"limit", "integer", "items of a page, 1 to 500; default 100"},
		{"cursor", "string", "nextCursor of the page before"},
	}
	auditParams = append([]Param{
		{"secret", "string", "entries about this secret"},
		{"principal", "string", "entries of this principal"},
		{"action", "string", "such as read or token.create"},
		{"result", "string", "success, not_found, access_denied, decryption_failed or failed"},
		{"correlationId", "string", "the entry of one request"},
		{"from", "date-time", "entries from this time on"},
		{"to", "date-time", "entries before this time"},
		{"order", "string", "asc, the default, or desc"},
	}, pageParams...)
	proofParams = []Param{
		{"index", "integer", "prove that this entry is in the log"},
		{"size", "integer", "of the checkpoint to prove it under; default the newest"},
		{"entry", "string", "false for the leaf's hash in the place of the entry, as for one that was archived"},
		{"from", "integer", "prove that the log continues the one of this size"},
		{"to", "integer", "of the checkpoint that continues it; default the newest"},
	}
)

var (
	created   = []int{http.StatusCreated}
	written   = []int{http.StatusOK, http.StatusCreated}
	noContent = []int{http.StatusNoContent}
	conflict  = []int{http.StatusConflict}
)

// routes is the table. Rows that share a path stand together.
var routes = append([]*Route{
	{Method: get, Pattern: Prefix + "/openapi.json", Summary: "This document", Open: true,
		Response: "Document", handle: openAPI},
	{Method: get, Pattern: Prefix + "/whoami", Summary: "Tell who the caller is",
		Action: audit.Describe, Response: "Identity", handle: whoAmI},

	{Method: post, Pattern: Prefix + "/tenants", Summary: "Create a tenant and its administrator",
		Body: smallBody, Action: audit.TenantCreate,
		Request: "TenantCreateRequest", Response: "TenantCreated", Success: created, Failures: conflict, handle: createTenant},
	{Method: get, Pattern: Prefix + "/tenants", Summary: "List tenants",
		Action: audit.TenantList, Query: pageParams, Response: "TenantList", handle: listTenants},
	{Method: get, Pattern: tenantPath, Summary: "Describe a tenant",
		Action: audit.Describe, Response: "TenantInfo", handle: getTenant},
	{Method: del, Pattern: tenantPath, Summary: "Erase a tenant, for ever",
		Action: audit.TenantErase, Query: []Param{{"confirm", "string", "the tenant's name, once more"}},
		Success: noContent, Failures: conflict, handle: eraseTenant},
	{Method: post, Pattern: tenantPath + "/suspend", Summary: "Suspend a tenant",
		Action: audit.TenantSuspend, Response: "TenantInfo", Failures: conflict, handle: suspendTenant},
	{Method: post, Pattern: tenantPath + "/resume", Summary: "Resume a suspended tenant",
		Action: audit.TenantResume, Response: "TenantInfo", Failures: conflict, handle: resumeTenant},
	{Method: post, Pattern: tenantPath + "/keys/rotate", Summary: "Give a tenant a new key and re-wrap its versions under it",
		Deadline: rewrapTime, Action: audit.KeyRotate, Response: "KeyRotated", Failures: conflict, handle: rotateTenantKey},
	{Method: post, Pattern: Prefix + "/keys/root/rotate", Summary: "Re-wrap every tenant's keys under the current root key",
		Operator: true, Deadline: rewrapTime, Action: audit.KeyRotate, Response: "KeyRotated", Failures: conflict, handle: rotateRootKey},

	{Method: post, Pattern: secretsPath, Summary: "Create a secret that must not exist",
		Body: MaxBody, Action: audit.Create,
		Request: "CreateRequest", Response: "Written", Success: created, Failures: conflict, handle: createSecret},
	{Method: get, Pattern: secretsPath, Summary: "List secrets by name",
		Action: audit.List, Query: append([]Param{
			{"prefix", "string", "names that begin with it"},
			{"tagKey", "string", "secrets with this tag"},
			{"tagValue", "string", "and this value of it"},
			{"due", "boolean", "those whose required rotation is due"},
			{"deleted", "boolean", "those in their recovery window, instead of those that are not"},
		}, pageParams...),
		Response: "SecretList", handle: listSecrets},
	{Method: get, Pattern: tenantPath + "/due", Summary: "List the secrets whose required rotation is due",
		Action: audit.List, Query: pageParams, Response: "SecretList", handle: listDue},
	{Method: get, Pattern: secretPath, Summary: "Describe a secret",
		Action: audit.Describe, Response: "Secret", handle: describe},
	{Method: patch, Pattern: secretPath, Summary: "Change a secret's metadata",
		Body: mediumBody, Action: audit.Update,
		Request: "UpdateRequest", Response: "Secret", Failures: conflict, handle: update},
	{Method: del, Pattern: secretPath, Summary: "Delete a secret, with a recovery window or at once",
		Action: audit.Delete, Query: []Param{
			{"recoveryDays", "integer", "7 to 30; default 30"},
			{"purge", "boolean", "destroy it now; answered with 204"},
		},
		Response: "Secret", Success: []int{http.StatusOK, http.StatusNoContent}, Failures: conflict, handle: remove},
	{Method: post, Pattern: secretPath + "/restore", Summary: "Restore a deleted secret",
		Action: audit.Restore, Response: "Secret", Failures: conflict, handle: restore},
	{Method: get, Pattern: secretPath + "/value", Summary: "Read a value: the current one, or the selected version's",
		Action: audit.Read, Query: []Param{
			{"version", "string", "the version with this number"},
			{"versionId", "string", "the version with this id"},
			{"stage", "string", "the version with this label"},
		},
		Response: "ValueReply", Failures: conflict, handle: getValue},
	{Method: put, Pattern: secretPath + "/value", Summary: "Store a value: create the secret, or add a version",
		Body: MaxBody, Action: audit.Update,
		Request: "PutRequest", Response: "Written", Success: written, Failures: conflict, handle: putValue},
	{Method: post, Pattern: secretPath + "/rotate", Summary: "Add a version, of a value given or made by a rule; or have the worker rotate a secret that rotates by itself",
		Body: MaxBody, Action: audit.Rotate,
		Request: "RotateRequest", Response: "Written", Accepted: "Rotation", Success: []int{http.StatusOK, http.StatusAccepted},
		Failures: []int{http.StatusConflict, http.StatusUnprocessableEntity}, handle: rotate},
	{Method: get, Pattern: secretPath + "/versions", Summary: "List a secret's versions",
		Action: audit.Describe, Query: pageParams, Response: "VersionList", handle: listVersions},
	{Method: put, Pattern: stagePath, Summary: "Move a staging label to a version",
		Body: smallBody, Action: audit.Label,
		Request: "LabelRequest", Response: "Secret", Failures: conflict, handle: moveLabel},
	{Method: del, Pattern: stagePath, Summary: "Take a staging label off",
		Action: audit.Label, Query: []Param{{"expectedVersion", "string", "the version that the label must be on; 0 for none"}},
		Response: "Secret", Failures: conflict, handle: removeLabel},
}, concat(
	loginRoutes,
	factorRoutes,
	rotationRoutes,
	quotaRoutes,
	eventRoutes,
	webhookRoutes,
	providerRoutes,
	policyRoutes,
	accessRoutes,
	principalRoutes(tenantPath+"/principals", "a tenant's principals", false),
	principalRoutes(Prefix+"/operators", "the operators", true),
	passwordRoutes,
	othersFactorRoutes(tenantPath+"/principals", false),
	othersFactorRoutes(Prefix+"/operators", true),
	tokenRoutes(tenantPath, "a tenant's credentials"),
	tokenRoutes(Prefix, "the operators' credentials"),
	accessKeyRoutes,
	auditRoutes(tenantPath, "a tenant's", false),
	auditRoutes(Prefix, "the deployment's", true),
	[]*Route{{Method: post, Pattern: Prefix + "/audit/keys/rotate", Summary: "Give the log new signing keys",
		Operator: true, Action: audit.AuditKeysRotate, Media: mediaText, Response: "KeySet", Failures: conflict, handle: rotateAuditKeys}},
	archiveRoutes,
)...)

// principalRoutes are the same for a tenant and for the deployment, whose
// operators have nothing that could be changed.
func principalRoutes(base, whose string, operator bool) []*Route {
	one := base + "/{principal}"
	routes := []*Route{
		{Method: post, Pattern: base, Summary: "Add one to " + whose, Operator: operator,
			Body: mediumBody, Action: audit.PrincipalCreate,
			Request: "PrincipalCreateRequest", Response: "Principal", Success: created, Failures: conflict, handle: createPrincipal},
		{Method: get, Pattern: base, Summary: "List " + whose, Operator: operator,
			Action: audit.PrincipalList, Query: pageParams, Response: "PrincipalList", handle: listPrincipals},
		{Method: get, Pattern: one, Summary: "Describe one of " + whose, Operator: operator,
			Action: audit.PrincipalList, Response: "Principal", handle: getPrincipal},
		{Method: del, Pattern: one, Summary: "Delete one of " + whose + " with all its credentials", Operator: operator,
			Action: audit.PrincipalDelete, Success: noContent, Failures: conflict, handle: deletePrincipal},
		{Method: post, Pattern: one + "/disable", Summary: "Refuse all credentials of one of " + whose, Operator: operator,
			Action: audit.PrincipalDisable, Response: "Principal", Failures: conflict, handle: disablePrincipal},
		{Method: post, Pattern: one + "/enable", Summary: "Let one of " + whose + " in again", Operator: operator,
			Action: audit.PrincipalEnable, Response: "Principal", handle: enablePrincipal},
	}
	if operator {
		return routes
	}
	return slices.Insert(routes, 3, &Route{Method: patch, Pattern: one, Summary: "Change grants and attributes of a principal",
		Body: mediumBody, Action: audit.PrincipalUpdate,
		Request: "PrincipalUpdateRequest", Response: "Principal", Failures: conflict, handle: updatePrincipal})
}

// accessKeyRoutes are a tenant's alone.
var accessKeyRoutes = []*Route{
	{Method: post, Pattern: tenantPath + "/accesskeys", Summary: "Make an access key for the AWS protocol",
		Body: mediumBody, Action: audit.AccessKeyCreate,
		Request: "TokenCreateRequest", Response: "AccessKeyCreated", Success: created, Failures: conflict, handle: createAccessKey},
	{Method: get, Pattern: tenantPath + "/accesskeys", Summary: "List a tenant's access keys",
		Action: audit.AccessKeyList, Query: append([]Param{principalParam}, pageParams...), Response: "TokenList", handle: listAccessKeys},
	{Method: post, Pattern: tenantPath + "/accesskeys/{id}/rotate", Summary: "Put a new access key in the place of one",
		Body: smallBody, Action: audit.AccessKeyRotate,
		Request: "CredentialRotateRequest", Response: "AccessKeyCreated", Success: created, Failures: conflict, handle: rotateAccessKey},
	{Method: del, Pattern: tenantPath + "/accesskeys/{id}", Summary: "Revoke an access key",
		Action: audit.AccessKeyRevoke, Success: noContent, handle: revokeAccessKey},
}

var principalParam = Param{"principal", "string", "this principal's alone"}

// tokenRoutes are the same for a tenant and for the deployment.
func tokenRoutes(base, whose string) []*Route {
	operator := base == Prefix
	return []*Route{
		{Method: post, Pattern: base + "/tokens", Summary: "Add a token to " + whose, Operator: operator,
			Body: mediumBody, Action: audit.TokenCreate,
			Request: "TokenCreateRequest", Response: "TokenCreated", Success: created, Failures: conflict, handle: createToken},
		{Method: get, Pattern: base + "/tokens", Summary: "List " + whose, Operator: operator,
			Action: audit.TokenList, Query: append([]Param{{"kind", "string", "token or accessKey"}, principalParam}, pageParams...),
			Response: "TokenList", handle: listTokens},
		{Method: post, Pattern: base + "/tokens/{id}/rotate", Summary: "Put a new token in the place of one of " + whose, Operator: operator,
			Body: smallBody, Action: audit.TokenRotate,
			Request: "CredentialRotateRequest", Response: "TokenCreated", Success: created, Failures: conflict, handle: rotateToken},
		{Method: del, Pattern: base + "/tokens/{id}", Summary: "Revoke one of " + whose, Operator: operator,
			Action: audit.TokenRevoke, Success: noContent, handle: revokeToken},
	}
}

// auditRoutes are the same for a tenant's part of the log and for the whole.
func auditRoutes(base, whose string, operator bool) []*Route {
	base += "/audit"
	return []*Route{
		{Method: get, Pattern: base, Summary: "List " + whose + " audit entries", Operator: operator,
			Action: audit.AuditList, Query: auditParams, Response: "EntryList", handle: listAudit},
		{Method: get, Pattern: base + "/tail", Summary: "Follow " + whose + " audit entries", Operator: operator,
			Deadline: tailTime, Stream: true, Action: audit.AuditList,
			Query: []Param{{"after", "integer", "index of the last entry seen; default the newest"}},
			Media: mediaLines, Response: "Entry", handle: tailAudit},
		{Method: post, Pattern: base + "/checkpoint", Summary: "Make a checkpoint that covers every entry", Operator: operator,
			Action: audit.AuditCheckpoint, Media: mediaText, Response: "Note", handle: makeCheckpoint},
		{Method: get, Pattern: base + "/checkpoint", Summary: "Give the newest checkpoint", Operator: operator,
			Action: audit.AuditCheckpoint, Media: mediaText, Response: "Note", handle: latestCheckpoint},
		{Method: get, Pattern: base + "/proof", Summary: "Prove that an entry is in the log, or that the log continues an older one", Operator: operator,
			Action: audit.AuditProof, Query: proofParams, Response: "Proof", handle: proveAudit},
		{Method: post, Pattern: base + "/export", Summary: "Export " + whose + " entries with their proofs", Operator: operator,
			Body: smallBody, Deadline: exportTime, Stream: true, Action: audit.AuditExport,
			Request: "ExportRequest", Media: mediaLines, Response: "Bundle", handle: exportAudit},
		{Method: post, Pattern: base + "/redact", Summary: "Delete the personal part of entries", Operator: operator,
			Body: smallBody, Deadline: redactTime, Action: audit.AuditRedact,
			Request: "RedactRequest", Response: "Redacted", handle: redactAudit},
		{Method: get, Pattern: base + "/keys", Summary: "Give the log's public keys", Operator: operator,
			Action: audit.AuditKeys, Media: mediaText, Response: "KeySet", handle: auditKeys},
	}
}

// archiveRoutes are the operators' alone.
var archiveRoutes = []*Route{
	{Method: get, Pattern: Prefix + "/audit/archive", Summary: "Tell what of the log was archived", Operator: true,
		Action: audit.AuditArchive, Response: "ArchiveState", handle: archiveState},
	{Method: post, Pattern: Prefix + "/audit/archive/segment", Summary: "Hand out the next segment to archive", Operator: true,
		Body: smallBody, Deadline: exportTime, Stream: true, Action: audit.AuditArchive,
		Request: "SegmentRequest", Media: mediaLines, Response: "Segment", handle: auditSegment},
	{Method: post, Pattern: Prefix + "/audit/archive", Summary: "Drop the text of a segment that is kept outside", Operator: true,
		Body: smallBody, Deadline: redactTime, Action: audit.AuditArchive,
		Request: "ArchiveRequest", Response: "ArchiveState", Failures: conflict, handle: archiveAudit},
}

func concat(lists ...[]*Route) (all []*Route) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

//go:embed openapi.json
var openAPIDocument []byte

func openAPI(c *call) error { return c.document(jsonType, openAPIDocument) }
