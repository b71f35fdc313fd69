package api

import "fastness/internal/audit"

// policyBody takes a policy of the longest text, in JSON, with room to say that
// a longer one is too long.
const policyBody = 128 << 10

// policyRoutes are about a tenant's own rules.
var policyRoutes = []*Route{
	{Method: get, Pattern: Prefix + "/fastness.cedarschema", Summary: "What policies are written against, in Cedar's schema language", Open: true,
		Media: mediaText, Response: "CedarSchema", handle: policySchema},
	{Method: get, Pattern: tenantPath + "/policies", Summary: "List a tenant's own policies",
		Action: audit.PolicyList, Query: pageParams, Response: "PolicyList", handle: listPolicies},
	{Method: put, Pattern: tenantPath + "/policies/{policy}", Summary: "Put a policy in force, or another version of it",
		Body: policyBody, Action: audit.PolicyPut,
		Request: "PolicyRequest", Response: "Policy", Failures: conflict, handle: putPolicy},
	{Method: get, Pattern: tenantPath + "/policies/{policy}", Summary: "Give a policy: the version in force, or one of the ten newest",
		Action: audit.PolicyRead, Query: []Param{{"version", "integer", "default the one in force"}}, Response: "Policy", handle: getPolicy},
	{Method: del, Pattern: tenantPath + "/policies/{policy}", Summary: "End a policy; its versions are deleted too",
		Action: audit.PolicyDelete, Query: []Param{{"expectedVersion", "integer", "the version that must be in force"}},
		Success: noContent, Failures: conflict, handle: deletePolicy},
	{Method: get, Pattern: tenantPath + "/settings", Summary: "Tell a tenant's settings for second factors",
		Action: audit.SettingsRead, Response: "SettingsReply", handle: getSettings},
	{Method: patch, Pattern: tenantPath + "/settings", Summary: "Change a tenant's settings for second factors",
		Body: smallBody, Action: audit.SettingsUpdate,
		Request: "SettingsUpdateRequest", Response: "SettingsReply", Failures: conflict, handle: updateSettings},
}

var addressParam = Param{"address", "string", "IP address that the request would come from; default not known"}

// accessRoutes tell who may do what, and why not.
var accessRoutes = []*Route{
	{Method: post, Pattern: tenantPath + "/access/test", Summary: "Decide on made-up requests, with drafts in the place of stored policies",
		Body: MaxBody, Action: audit.PolicyTest,
		Request: "PolicyTestRequest", Response: "DecisionList", handle: testPolicies},
	{Method: get, Pattern: tenantPath + "/access/explain", Summary: "Tell what would be decided on a principal's request now, and why",
		Action: audit.AccessExplain, Query: []Param{
			{"principal", "string", "who would ask"},
			{"action", "string", "such as read, update or tokens"},
			{"secret", "string", "of an action on a secret"},
			{"credentialId", "string", "id of the credential that would be used; default each that is live"},
			addressParam,
		},
		Response: "ExplanationList", handle: explainAccess},
	{Method: get, Pattern: tenantPath + "/access/denials/{denial}", Summary: "Tell why a request was refused, and what would be decided on it now",
		Action: audit.AccessExplain, Response: "Denial", handle: getDenial},
	{Method: get, Pattern: tenantPath + "/access/who", Summary: "List who may do what with a secret, or with the tenant",
		Action: audit.AccessWho, Query: append([]Param{{"secret", "string", "default the tenant itself"}, addressParam}, pageParams...),
		Response: "WhoList", handle: whoMay},
	{Method: get, Pattern: tenantPath + "/access/review", Summary: "List every principal with credentials, grants, last uses and second factors",
		Action: audit.AccessReview, Query: pageParams, Response: "ReviewList", handle: reviewAccess},
	{Method: get, Pattern: tenantPath + "/access/review.csv", Summary: "Give the whole review as a table",
		Deadline: exportTime, Stream: true, Action: audit.AccessReview, Media: mediaCSV, Response: "ReviewTable", handle: reviewTable},
}
