package identity

import (
	"strings"
	"time"

	"fastness/internal/secret"
)

// presets are issuers that many have, as far as all of theirs are alike. What
// their tokens look like is tested with tokens of their form.
var presets = map[string]Issuer{
	// A cluster's service accounts. The URL is the cluster's, and so are the keys:
	// where its API server answers no strangers, KeySet holds what
	// "kubectl get --raw /openid/v1/jwks" prints. A pod's projected token is
	// valid for an hour and lies in a file that is read at each start. Its bearer
	// is in "sub" and in "kubernetes\.io.namespace",
	// "kubernetes\.io.serviceaccount.name" and so on.
	"kubernetes": {Algorithms: []string{"RS256"}, MaxAge: 24 * time.Hour, Reusable: true},
	// Workflows of GitHub. A job asks for a token when it needs one, and it is
	// valid for five minutes. The bearer is in "repository", "ref", "environment",
	// "workflow_ref", "event_name" and so on; "sub" puts some of them together.
	"github-actions": {
		URL: "https://token.actions.githubusercontent.com", Algorithms: []string{"RS256"}, MaxAge: 15 * time.Minute,
	},
	// Jobs of GitLab, here of gitlab.com. A job finds its tokens in variables and
	// they are valid as long as it may run. The bearer is in "project_path",
	// "ref", "ref_type", "ref_protected", "environment" and so on.
	"gitlab": {URL: "https://gitlab.com", Algorithms: []string{"RS256"}, MaxAge: 24 * time.Hour, Reusable: true},
}

// Preset returns what is alike in all issuers of a kind: kubernetes,
// github-actions or gitlab. Name, audiences and bindings are the tenant's.
func Preset(kind string) (Issuer, error) {
	i, ok := presets[kind]
	if !ok {
		return Issuer{}, secret.Invalid("preset", strings.Join([]string{"github-actions", "gitlab", "kubernetes"}, ", "))
	}
	return i, nil
}
