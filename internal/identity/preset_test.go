package identity_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"fastness/internal/identity"
	"fastness/internal/secret"
)

// Claims as the three issuers write them, but for the times.
const (
	kubernetesClaims = `{
		"aud": ["https://fastness.example"],
		"iss": "https://kubernetes.default.svc.cluster.local",
		"jti": "ea28ed49-2e11-4280-9ec5-bc3d1d84661a",
		"kubernetes.io": {
			"namespace": "prod",
			"node": {"name": "node-7", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"},
			"pod": {"name": "web-6d5f8b7c9-x2x7z", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
			"serviceaccount": {"name": "web", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
			"warnafter": 1800003607
		},
		"sub": "system:serviceaccount:prod:web"}`
	githubClaims = `{
		"jti": "b8a3d0a4-3f4e-4c59-9f3e-1f3e0a0a3a52",
		"sub": "repo:acme/app:environment:prod",
		"environment": "prod",
		"aud": "https://fastness.example",
		"ref": "refs/heads/main",
		"sha": "27db8ba0cdc5c8b0d7a5b9a3b1a9f0e4e6b51d0a",
		"repository": "acme/app",
		"repository_owner": "acme",
		"actor_id": "12",
		"repository_visibility": "private",
		"repository_id": "74",
		"repository_owner_id": "65",
		"run_id": "15306200000",
		"run_number": "10",
		"run_attempt": "2",
		"runner_environment": "github-hosted",
		"actor": "alice",
		"workflow": "deploy",
		"head_ref": "",
		"base_ref": "",
		"event_name": "push",
		"ref_type": "branch",
		"ref_protected": "true",
		"workflow_ref": "acme/app/.github/workflows/deploy.yml@refs/heads/main",
		"workflow_sha": "27db8ba0cdc5c8b0d7a5b9a3b1a9f0e4e6b51d0a",
		"job_workflow_ref": "acme/app/.github/workflows/deploy.yml@refs/heads/main",
		"job_workflow_sha": "27db8ba0cdc5c8b0d7a5b9a3b1a9f0e4e6b51d0a",
		"enterprise": "acme-corp",
		"enterprise_id": "3",
		"iss": "https://token.actions.githubusercontent.com"}`
	gitlabClaims = `{
		"namespace_id": "72",
		"namespace_path": "acme",
		"project_id": "20",
		"project_path": "acme/app",
		"user_id": "1",
		"user_login": "alice",
		"user_email": "alice@acme.example",
		"user_access_level": "developer",
		"user_identities": [{"provider": "github", "extern_uid": "2435223452345"}],
		"pipeline_id": "574",
		"pipeline_source": "push",
		"job_id": "302",
		"ref": "main",
		"ref_type": "branch",
		"ref_path": "refs/heads/main",
		"ref_protected": "true",
		"groups_direct": ["acme/group", "acme/other"],
		"environment": "production",
		"environment_protected": "true",
		"deployment_tier": "production",
		"deployment_action": "start",
		"runner_id": 1,
		"runner_environment": "self-hosted",
		"sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
		"project_visibility": "private",
		"ci_config_ref_uri": "gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main",
		"ci_config_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
		"jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b",
		"iss": "https://gitlab.com",
		"sub": "project_path:acme/app:ref_type:branch:ref:main",
		"aud": "https://fastness.example"}`
)

// presetIssuer is what a tenant makes of a preset, with given keys, as nobody
// can be asked here.
func presetIssuer(t *testing.T, kind string, b identity.Binding) *identity.Issuer {
	t.Helper()
	i, err := identity.Preset(kind)
	if err != nil {
		t.Fatal(err)
	}
	i.Name, i.Audiences, i.Bindings = "preset", []string{"https://fastness.example"}, []identity.Binding{b}
	if i.URL == "" {
		i.URL = "https://kubernetes.default.svc.cluster.local"
	}
	i.KeySet = marshal(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: rsaKey().Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}}})
	if err := i.Validate(); err != nil {
		t.Fatal(err)
	}
	return &i
}

func TestPresets(t *testing.T) {
	clock := newClock()
	now := clock.now().Unix()
	for _, tc := range []struct {
		kind, claims string
		life         int64
		headers      map[jose.HeaderKey]any
		binding      identity.Binding
		want         identity.Bearer
		others       []identity.Binding // that must not match
	}{
		{
			kind: "kubernetes", claims: kubernetesClaims, life: 3607,
			binding: identity.Binding{
				Match:     map[string][]string{`kubernetes\.io.namespace`: {"prod"}, `kubernetes\.io.serviceaccount.name`: {"web"}},
				Principal: "k8s/prod/web", Service: `{kubernetes\.io.serviceaccount.name}`, Environment: `{kubernetes\.io.namespace}`},
			want: identity.Bearer{Principal: "k8s/prod/web", Kind: "service", Service: "web", Environment: secret.Prod},
			others: []identity.Binding{
				{Match: map[string][]string{"sub": {"system:serviceaccount:prod:admin"}}, Principal: "x"},
				{Match: map[string][]string{"sub": {"system:serviceaccount:staging:*"}}, Principal: "x"},
				{Match: map[string][]string{"kubernetes.io.namespace": {"*"}}, Principal: "x"},
			},
		}, {
			kind: "github-actions", claims: githubClaims, life: 300, headers: map[jose.HeaderKey]any{"x5t": "ykNaY4qM_ta4k2TgZOCEYLkcYlA"},
			binding: identity.Binding{
				Match:     map[string][]string{"repository": {"acme/app"}, "ref": {"refs/heads/main", "refs/tags/v*"}, "event_name": {"push"}},
				Principal: "gh/{repository}", Create: true, Service: "app", Environment: "{environment}"},
			want: identity.Bearer{Principal: "gh/acme/app", Kind: "service", Create: true, Service: "app", Environment: secret.Prod},
			others: []identity.Binding{
				{Match: map[string][]string{"repository": {"acme/app"}, "event_name": {"pull_request"}}, Principal: "x"},
				{Match: map[string][]string{"sub": {"repo:acme/app:ref:*"}}, Principal: "x"},
				{Match: map[string][]string{"repository_owner": {"evil"}}, Principal: "x"},
			},
		}, {
			kind: "gitlab", claims: gitlabClaims, life: 3600,
			binding: identity.Binding{
				Match:     map[string][]string{"project_path": {"acme/app"}, "ref_protected": {"true"}, "runner_id": {"1"}, "groups_direct": {"acme/group"}},
				Principal: "deployer", Service: "app", Environment: "prod"},
			want: identity.Bearer{Principal: "deployer", Kind: "service", Service: "app", Environment: secret.Prod},
			others: []identity.Binding{
				{Match: map[string][]string{"project_path": {"acme/ap*"}, "ref_protected": {"false"}}, Principal: "x"},
				{Match: map[string][]string{"user_identities": {"*"}}, Principal: "x"},
			},
		},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			issuer := presetIssuer(t, tc.kind, tc.binding)
			var claims map[string]any
			d := json.NewDecoder(strings.NewReader(tc.claims))
			d.UseNumber()
			if err := d.Decode(&claims); err != nil {
				t.Fatal(err)
			}
			claims["iat"], claims["nbf"], claims["exp"] = now, now, now+tc.life
			headers := map[jose.HeaderKey]any{}
			for k, v := range tc.headers {
				headers[k] = v
			}
			jwt := sign(t, jwk("k1", "RS256", rsaKey()), jose.RS256, claims, headers)
			token, err := identity.NewTokenVerifier(false, clock.now).Verify(context.Background(), issuer, jwt)
			if err != nil {
				t.Fatal(err, secret.Of(err).Cause)
			}
			if (token.ReplayID == "") != (tc.kind != "github-actions") {
				t.Errorf("replay id %q", token.ReplayID)
			}
			got, err := identity.Bind(issuer.Bindings, token.Claims)
			if err != nil || got.Principal != tc.want.Principal || got.Kind != tc.want.Kind || got.Create != tc.want.Create ||
				got.Service != tc.want.Service || got.Environment != tc.want.Environment {
				t.Errorf("got %+v, %v", got, err)
			}
			for _, other := range tc.others {
				if got, err := identity.Bind([]identity.Binding{other}, token.Claims); err == nil {
					t.Errorf("%v binds it to %+v", other.Match, got)
				}
			}
		})
	}
	if _, err := identity.Preset("Kubernetes"); err == nil {
		t.Error("an unknown preset is taken")
	}
}
