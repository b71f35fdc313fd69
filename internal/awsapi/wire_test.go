package awsapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"fastness/internal/awsapi"
	"fastness/internal/policy"
)

// refusal decodes an error as the protocol tells it.
func (a answer) refusal(t *testing.T) (code, message string) {
	t.Helper()
	var v struct {
		Type    string `json:"__type"`
		Message string
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil || v.Type == "" || !strings.Contains(a.body, `"Message":`) {
		t.Fatalf("%v: %s", err, a.body)
	}
	if a.status != http.StatusBadRequest || a.header.Get("Content-Type") != "application/x-amz-json-1.1" || a.header.Get("X-Amzn-Requestid") == "" ||
		a.header.Get("Date") == "" {
		t.Errorf("%d %v", a.status, a.header)
	}
	return v.Type, v.Message
}

// TestAuthentication: what is wrong with a signature, and what SDKs are told.
func TestAuthentication(t *testing.T) {
	s := newService(t)
	c := s.tenant("acme")
	c.create(t, "s", "1")
	const body = `{"SecretId":"s"}`
	get := func(change ...func(*http.Request)) *http.Request {
		return s.signed(c, "GetSecretValue", body, change...)
	}
	drop := func(header string) *http.Request {
		r := get()
		r.Header.Del(header)
		return r
	}
	altered := func(f func(r *http.Request)) *http.Request {
		r := get()
		f(r)
		return r
	}
	at := func(d time.Duration) *http.Request {
		r := drop("Authorization")
		s.sign(c, r, body, time.Now().Add(d))
		return r
	}
	stranger := s.client("FSKAAAAAAAAAAAAAAAAA", c.secret, c.account)
	for _, test := range []struct {
		name    string
		request *http.Request
		code    string
		message string
	}{
		{"no header", drop("Authorization"), "MissingAuthenticationTokenException", "Missing Authentication Token"},
		{"bearer", altered(func(r *http.Request) { r.Header.Set("Authorization", "Bearer fst_x") }), "IncompleteSignatureException", ""},
		{"no date", drop("X-Amz-Date"), "IncompleteSignatureException", ""},
		{"wrong secret", s.signed(s.client(c.keyID, "x"+c.secret[1:], ""), "GetSecretValue", body), "InvalidSignatureException", ""},
		{"unknown key", s.signed(stranger, "GetSecretValue", body), "UnrecognizedClientException", "The security token included in the request is invalid."},
		{"another target", altered(func(r *http.Request) { r.Header.Set("X-Amz-Target", "secretsmanager.DeleteSecret") }), "InvalidSignatureException", ""},
		{"another host", altered(func(r *http.Request) { r.Host = "secretsmanager.us-east-1.amazonaws.com" }), "InvalidSignatureException", ""},
		{"another body", altered(func(r *http.Request) {
			r.Body = http.NoBody
			r.ContentLength = 0
		}), "InvalidSignatureException", ""},
		{"a query", altered(func(r *http.Request) { r.URL.RawQuery = "a=b" }), "InvalidSignatureException", ""},
		{"presigned", altered(func(r *http.Request) { r.URL.RawQuery = "X-Amz-Signature=00" }), "IncompleteSignatureException", ""},
		{"session token", altered(func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "x") }), "UnrecognizedClientException", ""},
		{"unsigned payload", altered(func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") }), "InvalidSignatureException", ""},
		{"slow clock", at(-6 * time.Minute), "InvalidSignatureException", ""},
		{"fast clock", at(6 * time.Minute), "InvalidSignatureException", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, message := s.do(test.request).refusal(t)
			if code != test.code || test.message != "" && message != test.message {
				t.Errorf("%s: %s", code, message)
			}
			if test.name == "slow clock" && !strings.HasPrefix(message, "Signature expired: ") || test.name == "fast clock" && !strings.HasPrefix(message, "Signature not yet current: ") {
				t.Errorf("%s", message)
			}
		})
	}
	for _, d := range []time.Duration{0, 4 * time.Minute, -4 * time.Minute} {
		if a := s.do(at(d)); a.status != http.StatusOK {
			t.Errorf("%v off: %s", d, a.body)
		}
	}
	if log := s.logged(); strings.Contains(log, c.secret) || strings.Contains(log, "fst_x") {
		t.Error("a credential is in the log")
	}
}

// TestClockCorrection: the SDK learns the server's time from a refusal, and
// succeeds.
func TestClockCorrection(t *testing.T) {
	s := newService(t)
	c := s.tenant("acme")
	c.create(t, "s", "1")
	s.setClock(time.Now().Add(time.Hour))
	want(t, errOf(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String("s")})), "InvalidSignatureException", "")
	s.setClock(time.Time{})
	c.read(t, &sm.GetSecretValueInput{SecretId: aws.String("s")}, "1")
}

func TestBadBodies(t *testing.T) {
	s := newService(t)
	c := s.tenant("acme")
	large := `{"Name":"s","SecretString":"` + strings.Repeat("x", awsapi.MaxBody) + `"}`
	for name, test := range map[string]struct {
		request *http.Request
		code    string
	}{
		"too large":              {s.signed(c, "CreateSecret", large), "RequestEntityTooLargeException"},
		"too large, unannounced": {s.signed(c, "CreateSecret", large, func(r *http.Request) { r.ContentLength = -1 }), "RequestEntityTooLargeException"},
		"another type":           {s.signed(c, "ListSecrets", `{}`, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }), "UnknownOperationException"},
		"no type":                {s.signed(c, "ListSecrets", `{}`, func(r *http.Request) { r.Header.Del("Content-Type") }), "UnknownOperationException"},
		"compressed":             {s.signed(c, "ListSecrets", `{}`, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }), "SerializationException"},
		"no target":              {s.signed(c, "", `{}`, func(r *http.Request) { r.Header.Del("X-Amz-Target") }), "UnknownOperationException"},
		"other service":          {s.signed(c, "", `{}`, func(r *http.Request) { r.Header.Set("X-Amz-Target", "TrentService.Encrypt") }), "UnknownOperationException"},
		"not UTF-8":              {s.signed(c, "ListSecrets", "{\"a\":\"\xff\"}"), "SerializationException"},
	} {
		t.Run(name, func(t *testing.T) {
			if code, message := s.do(test.request).refusal(t); code != test.code {
				t.Errorf("%s: %s", code, message)
			}
		})
	}
	a := s.do(s.signed(c, "ListSecrets", `{}`, func(r *http.Request) { r.Header.Set("Content-Type", "application/x-amz-json-1.1; charset=utf-8") }))
	if a.status != http.StatusOK {
		t.Errorf("%s", a.body)
	}
}

// TestNothingIsQuoted: a value in the wrong place is in no answer and no log.
func TestNothingIsQuoted(t *testing.T) {
	s := newService(t)
	c := s.tenant("acme")
	const planted = "PLANTED-73b1"
	for _, r := range []struct{ operation, body string }{
		{"CreateSecret", `{"Name":"s","ClientRequestToken":"` + tokenA + `","SecretString":{"` + planted + `":1}}`},
		{"CreateSecret", `{"Name":"` + planted + ` x","ClientRequestToken":"` + tokenA + `"}`},
		{"CreateSecret", `{"Name":"s","ClientRequestToken":"` + planted + `"}`},
		{"CreateSecret", `{"Name":"s","ClientRequestToken":"` + tokenA + `","SecretBinary":"` + planted + `#"}`},
		{"ListSecrets", `{"SortBy":"` + planted + `"}`},
		{"ListSecrets", `{"Filters":[{"Key":"` + planted + `","Values":["a"]}]}`},
		{"ListSecrets", `{"NextToken":"` + planted + `"}`},
		{"ListSecrets", `{"MaxResults":"` + planted + `"}`},
		{"ListSecrets", `{` + planted},
		{planted, `{}`},
		{"PutResourcePolicy", `{"SecretId":"s","ResourcePolicy":"{\"` + planted + `\":1}"}`},
		{"ValidateResourcePolicy", `{"ResourcePolicy":"{\"` + planted + `\":1}"}`},
		{"CreateSecret", `{"Name":"kept","ClientRequestToken":"` + tokenA + `","SecretString":"` + planted + `"}`},
	} {
		if a := s.do(s.signed(c, r.operation, r.body)); strings.Contains(a.body, planted) {
			t.Errorf("%s %s: %s", r.operation, r.body, a.body)
		}
	}
	if strings.Contains(s.logged(), planted) {
		t.Error("planted text is in the log")
	}
}

// TestRoles: grants hold on this front as on every other, and a refusal is in
// the protocol's words.
func TestRoles(t *testing.T) {
	s := newService(t)
	admin := s.tenant("acme")
	admin.create(t, "open/a", "1")
	admin.create(t, "shut/a", "1")
	c := admin
	s.bind("acme", policy.Grant{Role: policy.Reader, Patterns: []string{"open/*"}})
	c.read(t, &sm.GetSecretValueInput{SecretId: aws.String("open/a")}, "1")
	want(t, errOf(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String("shut/a")})), "ResourceNotFoundException", notFound)
	for operation, err := range map[string]error{
		"secretsmanager:CreateSecret":   errOf(c.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("open/b"), SecretString: aws.String("x")})),
		"secretsmanager:PutSecretValue": errOf(c.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: aws.String("open/a"), SecretString: aws.String("x")})),
		"secretsmanager:DeleteSecret":   errOf(c.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: aws.String("open/a")})),
		"secretsmanager:TagResource":    errOf(c.TagResource(ctx, &sm.TagResourceInput{SecretId: aws.String("none"), Tags: tagsOf("a", "b")})),
	} {
		want(t, err, "AccessDeniedException", "User: arn:aws:iam::"+admin.account+":user/admin is not authorized to perform: "+operation+": the caller may not do this")
	}
	if page := must(c.ListSecrets(ctx, &sm.ListSecretsInput{}))(t); len(page.SecretList) != 1 || *page.SecretList[0].Name != "open/a" {
		t.Errorf("listed %+v", page.SecretList)
	}
}

// TestPolicies: a resource policy denies what the grants allow, by each
// condition that makes sense here.
func TestPolicies(t *testing.T) {
	s := newService(t)
	c := s.tenant("acme")
	c.create(t, "s", "1")
	second := c.put(t, "s", "2")
	id := aws.String("s")
	must(c.TagResource(ctx, &sm.TagResourceInput{SecretId: id, Tags: tagsOf("team", "blue")}))(t)
	read := func() error { return errOf(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: id})) }
	for _, test := range []struct {
		statement string
		denied    bool
	}{
		{`"Effect":"Deny","Principal":"*","Action":"secretsmanager:GetSecretValue"`, true},
		{`"Effect":"Deny","Principal":"*","Action":"secretsmanager:PutSecretValue"`, false},
		{`"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::` + c.account + `:user/admin"},"Action":"secretsmanager:Get*"`, true},
		{`"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::` + c.account + `:user/other"},"Action":"secretsmanager:Get*"`, false},
		{`"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::` + c.account + `:user/admin"},"Action":"secretsmanager:Get*"`, false},
		{`"Effect":"Allow","Principal":{"AWS":"210987654321"},"Action":"secretsmanager:Get*"`, false},
		{`"Effect":"Deny","Principal":"*","Action":"secretsmanager:Get*","Condition":{"StringEquals":{"secretsmanager:VersionStage":"AWSCURRENT"}}`, true},
		{`"Effect":"Deny","Principal":"*","Action":"secretsmanager:Get*","Condition":{"ForAnyValue:StringEquals":{"secretsmanager:VersionStage":"AWSPREVIOUS"}}`, false},
		{`"Effect":"Deny","Principal":"*","Action":"secretsmanager:Get*","Condition":{"StringEquals":{"secretsmanager:ResourceTag/team":"blue"}}`, true},
		{`"Effect":"Deny","Principal":"*","Action":"secretsmanager:Get*","Condition":{"StringEquals":{"aws:ResourceTag/team":"red"}}`, false},
		{`"Effect":"Deny","Principal":"*","Action":"secretsmanager:Get*","Condition":{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}`, true},
		{`"Effect":"Deny","Principal":"*","Action":"secretsmanager:Get*","Condition":{"NotIpAddress":{"aws:SourceIp":"127.0.0.0/8"}}`, false},
		{`"Effect":"Deny","Principal":"*","Action":"secretsmanager:Get*","Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}`, true},
		{`"Effect":"Deny","Principal":"*","Action":"secretsmanager:Get*","Condition":{"Bool":{"aws:SecureTransport":"false"}}`, true},
		{`"Effect":"Deny","Principal":"*","Action":"secretsmanager:Get*","Condition":{"DateLessThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}`, false},
		{`"Effect":"Deny","Principal":"*","Action":"secretsmanager:Get*","Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/ad*"}}`, true},
	} {
		text := `{"Version":"2012-10-17","Statement":[{` + test.statement + `,"Resource":"*"}]}`
		must(c.PutResourcePolicy(ctx, &sm.PutResourcePolicyInput{SecretId: id, ResourcePolicy: &text}))(t)
		if test.denied {
			want(t, read(), "AccessDeniedException", "User: arn:aws:iam::"+c.account+":user/admin is not authorized to perform: secretsmanager:GetSecretValue on resource: "+
				*second.ARN+" with an explicit deny in a resource-based policy")
			continue
		}
		if err := read(); err != nil {
			t.Errorf("%s: %v", test.statement, err)
		}
	}
	// The policy of a secret goes with it, and binds every operation.
	text := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","NotAction":["secretsmanager:DeleteResourcePolicy"],"Resource":"*"}]}`
	must(c.PutResourcePolicy(ctx, &sm.PutResourcePolicyInput{SecretId: id, ResourcePolicy: &text}))(t)
	for name, err := range map[string]error{
		"describe": errOf(c.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: id})),
		"put":      errOf(c.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: id, SecretString: id})),
		"update":   errOf(c.UpdateSecret(ctx, &sm.UpdateSecretInput{SecretId: id})),
		"tag":      errOf(c.TagResource(ctx, &sm.TagResourceInput{SecretId: id, Tags: tagsOf("a", "b")})),
		"versions": errOf(c.ListSecretVersionIds(ctx, &sm.ListSecretVersionIdsInput{SecretId: id})),
		"delete":   errOf(c.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: id})),
		"purge":    errOf(c.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: id, ForceDeleteWithoutRecovery: aws.Bool(true)})),
		"policy":   errOf(c.GetResourcePolicy(ctx, &sm.GetResourcePolicyInput{SecretId: id})),
		"rotate":   errOf(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: id})),
		"stage":    errOf(c.UpdateSecretVersionStage(ctx, &sm.UpdateSecretVersionStageInput{SecretId: id, VersionStage: id, MoveToVersionId: second.VersionId})),
	} {
		t.Run(name, func(t *testing.T) { want(t, err, "AccessDeniedException", "") })
	}
	must(c.DeleteResourcePolicy(ctx, &sm.DeleteResourcePolicyInput{SecretId: id}))(t)
	c.read(t, &sm.GetSecretValueInput{SecretId: id}, "2")
}
