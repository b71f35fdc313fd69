package api

import (
	"net/http"

	"fastness/internal/audit"
)

// Limits of bodies that prove something.
const (
	tokenBody    = 32 << 10 // a JWT has at most 16 KiB
	ceremonyBody = 64 << 10
	providerBody = 256 << 10 // certificates, keys, and a hundred bindings
)

// loginRoutes let somebody in. They are open: what is shown is in the body, or
// was in the handshake.
var loginRoutes = []*Route{
	{Method: get, Pattern: tenantPath + "/auth/methods", Summary: "Tell how people log in by a provider", Open: true,
		Response: "LoginMethods", Failures: []int{http.StatusServiceUnavailable}, handle: loginMethods},
	{Method: post, Pattern: tenantPath + "/auth/jwt", Summary: "Trade a token of a trusted issuer for a short-lived one", Open: true,
		Body: tokenBody, Action: audit.Login,
		Request: "TokenLoginRequest", Response: "SessionCreated", Success: created, Failures: refusedLogin, handle: loginToken},
	{Method: post, Pattern: tenantPath + "/auth/cert", Summary: "Trade the connection's client certificate for a short-lived token", Open: true,
		Action: audit.Login, Response: "SessionCreated", Success: created, Failures: refusedLogin, handle: loginCertificate},
	{Method: post, Pattern: tenantPath + "/auth/password", Summary: "Trade a password for a token that ends by itself", Open: true,
		Body: smallBody, Action: audit.Login,
		Request: "PasswordLoginRequest", Response: "SessionCreated", Success: created, Failures: refusedLogin, handle: loginPassword},
	{Method: post, Pattern: Prefix + "/logout", Summary: "End the session of the token that is sent",
		Action: audit.Logout, Success: noContent, Failures: conflict, handle: logout},
	{Method: put, Pattern: Prefix + "/password", Summary: "Change one's own password",
		Body: smallBody, Action: audit.PasswordSet,
		Request: "PasswordChangeRequest", Success: noContent, handle: changePassword},
}

var refusedLogin = []int{http.StatusUnauthorized, http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable}

// providerRoutes say whom a tenant trusts to say who others are.
var providerRoutes = []*Route{
	{Method: get, Pattern: tenantPath + "/issuers", Summary: "List the issuers that a tenant trusts",
		Action: audit.IssuerList, Response: "IssuerList", handle: listIssuers},
	{Method: put, Pattern: tenantPath + "/issuers/{issuer}", Summary: "Trust an issuer of tokens, or change for what",
		Body: providerBody, Action: audit.IssuerPut,
		Request: "IssuerRequest", Response: "Issuer", Failures: conflict, handle: putIssuer},
	{Method: get, Pattern: tenantPath + "/issuers/{issuer}", Summary: "Describe an issuer",
		Action: audit.IssuerList, Response: "Issuer", handle: getIssuer},
	{Method: del, Pattern: tenantPath + "/issuers/{issuer}", Summary: "Trust an issuer no more, and end what it vouched for",
		Action: audit.IssuerDelete, Success: noContent, handle: deleteIssuer},
	{Method: get, Pattern: tenantPath + "/cas", Summary: "List the CAs whose client certificates a tenant trusts",
		Action: audit.AuthorityList, Response: "AuthorityList", handle: listAuthorities},
	{Method: put, Pattern: tenantPath + "/cas/{ca}", Summary: "Trust a CA's client certificates, or change for what",
		Body: providerBody, Action: audit.AuthorityPut,
		Request: "AuthorityRequest", Response: "Authority", Failures: conflict, handle: putAuthority},
	{Method: get, Pattern: tenantPath + "/cas/{ca}", Summary: "Describe a CA",
		Action: audit.AuthorityList, Response: "Authority", handle: getAuthority},
	{Method: del, Pattern: tenantPath + "/cas/{ca}", Summary: "Trust a CA no more, and end what it vouched for",
		Action: audit.AuthorityDelete, Success: noContent, handle: deleteAuthority},
}

// factorRoutes are about the caller's own second factors.
var factorRoutes = []*Route{
	{Method: get, Pattern: Prefix + "/mfa", Summary: "Tell one's second factors, and whether one counts now",
		Action: audit.FactorList, Response: "FactorState", handle: listFactors},
	{Method: post, Pattern: Prefix + "/mfa/verify", Summary: "Give a one-time or recovery code",
		Body: smallBody, Action: audit.FactorVerify,
		Request: "CodeRequest", Response: "SteppedUp", Failures: conflict, handle: verifyCode},
	{Method: post, Pattern: Prefix + "/mfa/totp", Summary: "Begin to enrol an authenticator for one-time codes",
		Body: smallBody, Action: audit.FactorEnrol,
		Request: "FactorRequest", Response: "TOTPCreated", Success: created, Failures: conflict, handle: enrolTOTP},
	{Method: post, Pattern: Prefix + "/mfa/totp/{id}/confirm", Summary: "End an enrolment with the first code",
		Body: smallBody, Action: audit.FactorConfirm,
		Request: "CodeRequest", Response: "FactorCreated", Failures: conflict, handle: confirmTOTP},
	{Method: post, Pattern: Prefix + "/mfa/recovery", Summary: "Make recovery codes anew",
		Action: audit.FactorRecover, Response: "RecoveryCodes", Success: created, Failures: conflict, handle: renewRecovery},
	{Method: del, Pattern: Prefix + "/mfa/factors/{id}", Summary: "Forget one of one's second factors",
		Action: audit.FactorRemove, Success: noContent, Failures: conflict, handle: removeFactor},
	{Method: post, Pattern: Prefix + "/mfa/keys", Summary: "Begin to enrol a security key",
		Body: smallBody, Action: audit.FactorEnrol,
		Request: "FactorRequest", Response: "Ceremony", Failures: conflict, handle: enrolKey},
	{Method: post, Pattern: Prefix + "/mfa/keys/confirm", Summary: "End the enrolment of a security key",
		Body: ceremonyBody, Action: audit.FactorConfirm,
		Request: "CeremonyRequest", Response: "FactorCreated", Success: created, Failures: conflict, handle: confirmKey},
	{Method: post, Pattern: Prefix + "/mfa/keys/challenge", Summary: "Ask for a security key",
		Action: audit.FactorVerify, Response: "Ceremony", Failures: conflict, handle: askForKey},
	{Method: post, Pattern: Prefix + "/mfa/keys/verify", Summary: "Show a security key",
		Body: ceremonyBody, Action: audit.FactorVerify,
		Request: "CeremonyRequest", Response: "SteppedUp", Failures: conflict, handle: showKey},
}

// passwordRoutes are about the passwords of others.
var passwordRoutes = []*Route{
	{Method: put, Pattern: tenantPath + "/principals/{principal}/password", Summary: "Give a person a password",
		Body: smallBody, Action: audit.PasswordSet, Request: "PasswordRequest", Success: noContent, Failures: conflict, handle: setPassword},
	{Method: del, Pattern: tenantPath + "/principals/{principal}/password", Summary: "Take a person's password away",
		Action: audit.PasswordRemove, Success: noContent, Failures: conflict, handle: removePassword},
}

// othersFactorRoutes are the same for a tenant and for the operators.
func othersFactorRoutes(base string, operator bool) []*Route {
	base += "/{principal}/factors"
	return []*Route{
		{Method: get, Pattern: base, Summary: "List somebody's second factors", Operator: operator,
			Action: audit.FactorList, Response: "FactorList", handle: listFactorsOf},
		{Method: del, Pattern: base + "/{id}", Summary: "Forget a second factor that somebody has lost", Operator: operator,
			Action: audit.FactorRemove, Success: noContent, Failures: conflict, handle: removeFactorOf},
	}
}
