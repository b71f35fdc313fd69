package iam_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fastness/internal/awsapi/iam"
)

const (
	account = "123456789012"
	arn     = "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db-a1B2c3"
	alice   = "arn:aws:iam::123456789012:user/alice"
)

// request is Alice reading the secret.
func request() iam.Request {
	return iam.Request{
		Principal: alice, Account: account, Action: "secretsmanager:GetSecretValue", Resource: arn,
		Keys: map[string][]string{
			"aws:principalarn":                  {alice},
			"aws:username":                      {"alice"},
			"aws:sourceip":                      {"10.1.2.3"},
			"aws:securetransport":               {"true"},
			"aws:multifactorauthpresent":        {"false"},
			"aws:currenttime":                   {"2026-11-24T10:00:00Z"},
			"aws:epochtime":                     {"1795514400"},
			"aws:multifactorauthage":            {"30"},
			"secretsmanager:versionstage":       {"AWSCURRENT"},
			"aws:resourcetag/team":              {"alice"},
			"secretsmanager:resourcetag/weight": {"12.5"},
			"aws:tagkeys":                       {"a", "b"},
		},
	}
}

// statement writes a policy of one statement: Allow everybody everything, but
// for the elements given, as "Action": … .
func policy(elements ...string) string {
	m := map[string]string{"Effect": `"Allow"`, "Principal": `"*"`, "Action": `"*"`, "Resource": `"*"`}
	for _, e := range elements {
		name, value, _ := strings.Cut(e, ":")
		name = strings.Trim(name, `" `)
		if rest, ok := strings.CutPrefix(name, "Not"); ok {
			delete(m, rest)
		}
		m[name] = value
	}
	var out []string
	for k, v := range m {
		out = append(out, fmt.Sprintf("%q: %s", k, v))
	}
	return `{"Version": "2012-10-17", "Statement": {` + strings.Join(out, ",") + `}}`
}

func evaluate(t *testing.T, text string, r iam.Request) iam.Decision {
	t.Helper()
	p, err := iam.Parse(text)
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return p.Evaluate(r)
}

func TestElements(t *testing.T) {
	for _, test := range []struct {
		element string
		want    bool
	}{
		{`"Principal": "*"`, true},
		{`"Principal": {"AWS": "*"}`, true},
		{`"Principal": {"AWS": "123456789012"}`, true},
		{`"Principal": {"AWS": "210987654321"}`, false},
		{`"Principal": {"AWS": "arn:aws:iam::123456789012:root"}`, true},
		{`"Principal": {"AWS": "arn:aws:iam::210987654321:root"}`, false},
		{`"Principal": {"AWS": ["arn:aws:iam::123456789012:user/bob", "arn:aws:iam::123456789012:user/alice"]}`, true},
		{`"Principal": {"AWS": "arn:aws:iam::123456789012:user/Alice"}`, false},
		{`"Principal": {"Service": "lambda.amazonaws.com"}`, false},
		{`"Principal": {"Service": "lambda.amazonaws.com", "AWS": "arn:aws:iam::123456789012:user/alice"}`, true},
		{`"Principal": {"Federated": "cognito-identity.amazonaws.com"}`, false},

		{`"Action": "secretsmanager:GetSecretValue"`, true},
		{`"Action": "SecretsManager:getsecretvalue"`, true},
		{`"Action": "secretsmanager:Get*"`, true},
		{`"Action": "secretsmanager:?etSecretValu?"`, true},
		{`"Action": "secretsmanager:Put*"`, false},
		{`"Action": ["secretsmanager:PutSecretValue", "secretsmanager:*"]`, true},
		{`"Action": "s3:*"`, false},
		{`"NotAction": "secretsmanager:Put*"`, true},
		{`"NotAction": ["secretsmanager:Get*"]`, false},

		{`"Resource": "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db-a1B2c3"`, true},
		{`"Resource": "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/*"`, true},
		{`"Resource": "arn:aws:secretsmanager:*:*:secret:*-??????"`, true},
		{`"Resource": "arn:aws:secretsmanager:us-east-1:123456789012:secret:dev/*"`, false},
		{`"Resource": "arn:aws:secretsmanager:us-*:secret:prod/db-a1B2c3:x"`, false},
		{`"Resource": "arn:*:secretsmanager:us-east-1:123456789012:secret:${aws:username}*"`, false},
		{`"Resource": "arn:aws:secretsmanager:us-east-1:123456789012:secret:${x:y, 'prod'}/db*"`, true},
		{`"Resource": "arn:aws:secretsmanager:us-east-1:123456789012:secret:${x:y}*"`, false},
		{`"NotResource": "arn:aws:secretsmanager:us-east-1:123456789012:secret:dev/*"`, true},
		{`"NotResource": ["arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/*"]`, false},
	} {
		t.Run(test.element, func(t *testing.T) {
			want := iam.None
			if test.want {
				want = iam.Allow
			}
			if got := evaluate(t, policy(test.element), request()); got != want {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	for _, test := range []struct {
		condition string
		want      bool
	}{
		{`{"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}}`, true},
		{`{"StringEquals": {"secretsmanager:VersionStage": ["AWSPREVIOUS", "AWSCURRENT"]}}`, true},
		{`{"StringEquals": {"SecretsManager:versionstage": "AWSCURRENT"}}`, true},
		{`{"StringEquals": {"secretsmanager:VersionStage": "awscurrent"}}`, false},
		{`{"StringEquals": {"secretsmanager:VersionStage": "AWS*"}}`, false},
		{`{"StringEquals": {"absent": "x"}}`, false},
		{`{"StringEqualsIfExists": {"absent": "x"}}`, true},
		{`{"StringEqualsIfExists": {"secretsmanager:VersionStage": "x"}}`, false},
		{`{"StringNotEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}}`, false},
		{`{"StringNotEquals": {"secretsmanager:VersionStage": ["x", "AWSCURRENT"]}}`, false},
		{`{"StringNotEquals": {"secretsmanager:VersionStage": ["x", "y"]}}`, true},
		{`{"StringNotEquals": {"absent": "x"}}`, true},
		{`{"StringEqualsIgnoreCase": {"secretsmanager:VersionStage": "awsCurrent"}}`, true},
		{`{"StringNotEqualsIgnoreCase": {"secretsmanager:VersionStage": "awsCurrent"}}`, false},
		{`{"StringLike": {"secretsmanager:VersionStage": "AWS*"}}`, true},
		{`{"StringLike": {"secretsmanager:VersionStage": "AWSC?RRENT"}}`, true},
		{`{"StringLike": {"secretsmanager:VersionStage": "*URR*T"}}`, true},
		{`{"StringLike": {"secretsmanager:VersionStage": "*URR*X"}}`, false},
		{`{"StringNotLike": {"secretsmanager:VersionStage": "AWS*"}}`, false},

		{`{"StringEquals": {"aws:ResourceTag/team": "${aws:username}"}}`, true},
		{`{"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalArn}"}}`, false},
		{`{"StringEquals": {"aws:ResourceTag/team": "${absent}"}}`, false},
		{`{"StringNotEquals": {"aws:ResourceTag/team": "${absent}"}}`, true},
		{`{"StringLike": {"aws:ResourceTag/team": "${*}"}}`, false},
		{`{"StringEquals": {"secretsmanager:ResourceTag/team": "x"}}`, false},

		{`{"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:user/*"}}`, true},
		{`{"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/al?ce"}}`, true},
		{`{"ArnLike": {"aws:PrincipalArn": "arn:aws:*:user/alice:*:*"}}`, false},
		{`{"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}}`, true},
		{`{"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:user/alice"}}`, false},

		{`{"Bool": {"aws:SecureTransport": "true"}}`, true},
		{`{"Bool": {"aws:SecureTransport": true}}`, true},
		{`{"Bool": {"aws:SecureTransport": false}}`, false},
		{`{"Bool": {"aws:MultiFactorAuthPresent": "true"}}`, false},
		{`{"BoolIfExists": {"aws:ViaAWSService": "false"}}`, true},
		{`{"Null": {"absent": "true"}}`, true},
		{`{"Null": {"absent": false}}`, false},
		{`{"Null": {"aws:SourceIp": "false"}}`, true},
		{`{"Null": {"aws:SourceIp": "true"}}`, false},

		{`{"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}`, true},
		{`{"IpAddress": {"aws:SourceIp": ["192.168.0.0/16", "10.1.2.3"]}}`, true},
		{`{"IpAddress": {"aws:SourceIp": "10.2.0.0/16"}}`, false},
		{`{"NotIpAddress": {"aws:SourceIp": "10.2.0.0/16"}}`, true},
		{`{"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}`, false},
		{`{"IpAddress": {"aws:SourceIp": "2001:db8::/32"}}`, false},

		{`{"NumericLessThan": {"aws:MultiFactorAuthAge": "300"}}`, true},
		{`{"NumericLessThan": {"aws:MultiFactorAuthAge": 30}}`, false},
		{`{"NumericLessThanEquals": {"aws:MultiFactorAuthAge": 30}}`, true},
		{`{"NumericEquals": {"secretsmanager:ResourceTag/weight": "12.50"}}`, true},
		{`{"NumericNotEquals": {"secretsmanager:ResourceTag/weight": 12}}`, true},
		{`{"NumericGreaterThan": {"aws:MultiFactorAuthAge": 29}}`, true},
		{`{"NumericGreaterThanEquals": {"aws:MultiFactorAuthAge": 31}}`, false},
		{`{"NumericEquals": {"aws:username": 1}}`, false},

		{`{"DateLessThan": {"aws:CurrentTime": "2026-12-01T00:00:00Z"}}`, true},
		{`{"DateGreaterThan": {"aws:CurrentTime": "2026-12-01"}}`, false},
		{`{"DateGreaterThanEquals": {"aws:CurrentTime": "2026-11-24T12:00:00+02:00"}}`, true},
		{`{"DateEquals": {"aws:EpochTime": "2026-11-24T10:00:00Z"}}`, true},
		{`{"DateNotEquals": {"aws:EpochTime": 1795514400}}`, false},
		{`{"DateLessThanEquals": {"aws:CurrentTime": "2026"}}`, false},

		{`{"ForAnyValue:StringEquals": {"aws:TagKeys": ["b", "c"]}}`, true},
		{`{"ForAnyValue:StringEquals": {"aws:TagKeys": ["c"]}}`, false},
		{`{"ForAnyValue:StringEquals": {"absent": ["c"]}}`, false},
		{`{"ForAnyValue:StringNotEquals": {"aws:TagKeys": ["b"]}}`, true},
		{`{"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b", "c"]}}`, true},
		{`{"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}}`, false},
		{`{"ForAllValues:StringEquals": {"absent": ["a"]}}`, true},
		{`{"ForAllValues:StringNotEquals": {"aws:TagKeys": ["b"]}}`, false},
		{`{"ForAllValues:StringLikeIfExists": {"aws:TagKeys": ["?"]}}`, true},
		{`{"StringNotEquals": {"aws:TagKeys": ["b"]}}`, false},

		{`{"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}, "Bool": {"aws:SecureTransport": "false"}}`, false},
		{`{"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT", "aws:username": "bob"}}`, false},
		{`{}`, true},
	} {
		t.Run(test.condition, func(t *testing.T) {
			want := iam.None
			if test.want {
				want = iam.Allow
			}
			if got := evaluate(t, policy(`"Condition": `+test.condition), request()); got != want {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

// TestVariablesNeedTheVersion: in a policy of 2008, "${" is text.
func TestVariablesNeedTheVersion(t *testing.T) {
	text := policy(`"Condition": {"StringEquals": {"aws:ResourceTag/team": "${aws:username}"}}`)
	for _, version := range []string{`"Version": "2008-10-17",`, ""} {
		if got := evaluate(t, strings.Replace(text, `"Version": "2012-10-17",`, version, 1), request()); got != iam.None {
			t.Errorf("with %q: %v", version, got)
		}
	}
}

func TestDenyWins(t *testing.T) {
	text := `{"Version": "2012-10-17", "Id": "x", "Statement": [
		{"Sid": "all", "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"},
		{"Sid": "spare", "Effect": "Deny", "NotPrincipal": {"AWS": "` + alice + `"}, "Action": "secretsmanager:*", "Resource": "*"},
		{"Effect": "Deny", "Principal": {"AWS": "` + account + `"}, "Action": "secretsmanager:DeleteSecret", "Resource": "*"}]}`
	p, err := iam.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	r := request()
	if d, i := p.Explain(r); d != iam.Allow || i != 0 {
		t.Errorf("Alice reads: %v by %d", d, i)
	}
	r.Action = "secretsmanager:DeleteSecret"
	if d, i := p.Explain(r); d != iam.Deny || i != 2 {
		t.Errorf("Alice deletes: %v by %d", d, i)
	}
	r = request()
	r.Principal = "arn:aws:iam::" + account + ":user/bob"
	if d, i := p.Explain(r); d != iam.Deny || i != 1 {
		t.Errorf("Bob reads: %v by %d", d, i)
	}
	r.Action = "s3:GetObject"
	if d, i := p.Explain(r); d != iam.Allow || i != 0 {
		t.Errorf("Bob elsewhere: %v by %d", d, i)
	}
}

func TestMalformed(t *testing.T) {
	deep := strings.Repeat("[", 20) + strings.Repeat("]", 20)
	for name, text := range map[string]string{
		"nothing":                "",
		"no JSON":                "{",
		"not UTF-8":              "\xff",
		"an array":               "[]",
		"null":                   "null",
		"two values":             policy() + "{}",
		"no statement":           `{"Version": "2012-10-17"}`,
		"no statements":          `{"Statement": []}`,
		"statement of text":      `{"Statement": "x"}`,
		"statement twice":        strings.Replace(policy(), `"Version"`, `"Statement": [], "Version"`, 1),
		"unknown version":        strings.Replace(policy(), "2012", "2019", 1),
		"version of a number":    strings.Replace(policy(), `"2012-10-17"`, "2012", 1),
		"id of a number":         strings.Replace(policy(), `"Version"`, `"Id": 1, "Version"`, 1),
		"unknown element":        policy(`"Note": "x"`),
		"element in small":       policy(`"effect": "Deny"`),
		"no effect":              `{"Statement": {"Principal": "*", "Action": "*", "Resource": "*"}}`,
		"unknown effect":         policy(`"Effect": "Permit"`),
		"effect in small":        policy(`"Effect": "allow"`),
		"no principal":           `{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`,
		"principal of text":      policy(`"Principal": "alice"`),
		"principal of null":      policy(`"Principal": null`),
		"principal of none":      policy(`"Principal": {}`),
		"principal of no kind":   policy(`"Principal": {"Group": "x"}`),
		"principal of wildcards": policy(`"Principal": {"AWS": "arn:aws:iam::123456789012:user/*"}`),
		"principal elsewhere":    policy(`"Principal": {"AWS": "arn:aws:s3:::x"}`),
		"principal of 11 digits": policy(`"Principal": {"AWS": "12345678901"}`),
		"not principal, allow":   policy(`"NotPrincipal": {"AWS": "123456789012"}`),
		"not principal, all":     policy(`"Effect": "Deny"`, `"NotPrincipal": "*"`),
		"both principals":        `{"Statement": {"Effect": "Deny", "Principal": "*", "NotPrincipal": {"AWS": "123456789012"}, "Action": "*", "Resource": "*"}}`,
		"no action":              `{"Statement": {"Effect": "Allow", "Principal": "*", "Resource": "*"}}`,
		"both actions":           `{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "NotAction": "*", "Resource": "*"}}`,
		"action without colon":   policy(`"Action": "GetSecretValue"`),
		"action with two":        policy(`"Action": "a:b:c"`),
		"action of none":         policy(`"Action": []`),
		"action of null":         policy(`"Action": [null]`),
		"action of a number":     policy(`"Action": [1]`),
		"no resource":            `{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*"}}`,
		"resource of text":       policy(`"Resource": "prod/db"`),
		"unknown operator":       policy(`"Condition": {"StringMatches": {"a": "b"}}`),
		"operator in small":      policy(`"Condition": {"stringequals": {"a": "b"}}`),
		"null if exists":         policy(`"Condition": {"NullIfExists": {"a": "true"}}`),
		"null of text":           policy(`"Condition": {"Null": {"a": "maybe"}}`),
		"operator of text":       policy(`"Condition": {"StringEquals": "a"}`),
		"operator of nothing":    policy(`"Condition": {"StringEquals": {}}`),
		"key of nothing":         policy(`"Condition": {"StringEquals": {"a": []}}`),
		"key of null":            policy(`"Condition": {"StringEquals": {"a": null}}`),
		"key of objects":         policy(`"Condition": {"StringEquals": {"a": {}}}`),
		"no boolean":             policy(`"Condition": {"Bool": {"a": "yes"}}`),
		"no number":              policy(`"Condition": {"NumericEquals": {"a": "x"}}`),
		"no date":                policy(`"Condition": {"DateEquals": {"a": "x"}}`),
		"no address":             policy(`"Condition": {"IpAddress": {"a": "300.0.0.1"}}`),
		"no ARN":                 policy(`"Condition": {"ArnEquals": {"a": "x"}}`),
		"no base64":              policy(`"Condition": {"BinaryEquals": {"a": "x"}}`),
		"condition of text":      policy(`"Condition": "x"`),
		"deep":                   policy(`"Condition": {"StringEquals": {"a": ` + deep + `}}`),
		"long":                   policy() + strings.Repeat(" ", iam.MaxPolicy),
		"sid twice": `{"Statement": [{"Sid": "a", "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"},
			{"Sid": "a", "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := iam.Parse(text)
			var syntax *iam.SyntaxError
			if !errors.As(err, &syntax) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestPublic(t *testing.T) {
	for _, test := range []struct {
		text string
		want bool
	}{
		{policy(), true},
		{policy(`"Principal": {"AWS": "*"}`), true},
		{policy(`"Principal": {"AWS": "123456789012"}`), false},
		{policy(`"Effect": "Deny"`), false},
		{policy(`"Condition": {"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}}`), true},
		{policy(`"Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::123456789012:user/*"}}`), false},
		{policy(`"Condition": {"ArnLike": {"aws:PrincipalArn": "*"}}`), true},
		{policy(`"Condition": {"ArnLikeIfExists": {"aws:PrincipalArn": "arn:aws:iam::123456789012:user/*"}}`), true},
		{policy(`"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}`), false},
		{policy(`"Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}`), true},
		{policy(`"Condition": {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}`), true},
	} {
		p, err := iam.Parse(test.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.IsPublic(); got != test.want {
			t.Errorf("public %v, want %v: %s", got, test.want, test.text)
		}
	}
}

func TestValidate(t *testing.T) {
	safe := `"Principal": {"AWS": "123456789012"}`
	for _, test := range []struct {
		text string
		want []string
	}{
		{policy(safe), nil},
		{policy(), []string{iam.CheckPublic}},
		{"{", []string{iam.CheckSyntax}},
		{policy(safe, `"Action": "s3:GetObject"`), []string{iam.CheckSyntax}},
		{policy(safe, `"Effect": "Deny"`), []string{iam.CheckLockOut}},
		{policy(safe, `"Effect": "Deny"`, `"Action": "secretsmanager:DeleteResourcePolicy"`), []string{iam.CheckLockOut}},
		{policy(safe, `"Effect": "Deny"`, `"Action": "secretsmanager:GetSecretValue"`), nil},
	} {
		var got []string
		for _, f := range iam.Validate(test.text, request()) {
			got = append(got, f.Check)
			if f.Message == "" {
				t.Error("a finding without words")
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.text, diff)
		}
	}
}

// FuzzParse: what is read can be evaluated, whatever it is.
func FuzzParse(f *testing.F) {
	f.Add(policy())
	f.Add(policy(`"Condition": {"ForAnyValue:StringNotLikeIfExists": {"aws:TagKeys": ["${a, 'b'}", "${", "*"]}}`))
	f.Add(policy(`"NotAction": ["secretsmanager:*"]`, `"NotResource": "arn:aws:a:b:c:${*}*"`))
	f.Fuzz(func(t *testing.T, text string) {
		p, err := iam.Parse(text)
		if err != nil {
			return
		}
		p.Evaluate(request())
		p.IsPublic()
		iam.Validate(text, request())
	})
}
