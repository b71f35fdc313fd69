package awsapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"fastness/internal/policy"
	"fastness/internal/rotation"
)

// work does what the worker finds to do.
func (s *service) work() {
	s.t.Helper()
	if err := rotation.NewWorker(s.vault, testNetwork, nil, s.tick).Once(ctx); err != nil {
		s.t.Fatal(err)
	}
}

func item(key, text string) []types.ExternalSecretRotationMetadataItem {
	return []types.ExternalSecretRotationMetadataItem{{Key: &key, Value: &text}}
}

// TestRotator: a rotator of ours in the place of a function, from the request to
// the new version, and by its schedule.
func TestRotator(t *testing.T) {
	s := newService(t)
	c := s.tenant("acme")
	one := c.create(t, "s", "1").VersionId
	id := aws.String("s")
	in := &sm.RotateSecretInput{SecretId: id, ClientRequestToken: aws.String(tokenA), RotationLambdaARN: aws.String("fastness:rotator/password"),
		RotationRules:                  &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30), Duration: aws.String("3h")},
		ExternalSecretRotationMetadata: item("config", `{"length": 40, "classes": ["lower", "digits"]}`)}
	out := must(c.RotateSecret(ctx, in))(t)
	if *out.VersionId != tokenA || !strings.HasPrefix(*out.ARN, "arn:") || *out.Name != "s" {
		t.Errorf("answered %+v", out)
	}
	if d := c.describe(t, "s"); !slices.Equal(d.VersionIdsToStages[tokenA], []string{"AWSPENDING"}) || d.LastRotatedDate != nil {
		t.Errorf("before the worker: %+v", d)
	}
	s.work()
	d := c.describe(t, "s")
	if len(d.VersionIdsToStages) != 2 || !slices.Equal(d.VersionIdsToStages[tokenA], []string{"AWSCURRENT"}) || !slices.Equal(d.VersionIdsToStages[*one], []string{"AWSPREVIOUS"}) {
		t.Errorf("after it: %v", d.VersionIdsToStages)
	}
	if d.LastRotatedDate == nil || d.NextRotationDate == nil || !d.NextRotationDate.After(*d.LastRotatedDate) || !*d.RotationEnabled ||
		*d.RotationLambdaARN != "fastness:rotator/password" || *d.RotationRules.AutomaticallyAfterDays != 30 {
		t.Errorf("described %+v", d)
	}
	if v := must(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: id}))(t); len(*v.SecretString) != 40 || strings.Trim(*v.SecretString, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		t.Errorf("made %q", *v.SecretString)
	}

	// The same token again does nothing; another one does, without rules.
	must(c.RotateSecret(ctx, in))(t)
	s.work()
	if d := c.describe(t, "s"); !slices.Contains(d.VersionIdsToStages[tokenA], "AWSCURRENT") {
		t.Errorf("a repetition rotated: %v", d.VersionIdsToStages)
	}
	must(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: id, ClientRequestToken: aws.String(tokenB)}))(t)
	s.work()
	if d := c.describe(t, "s"); !slices.Contains(d.VersionIdsToStages[tokenB], "AWSCURRENT") {
		t.Errorf("rotated again: %v", d.VersionIdsToStages)
	}

	// Not at once: by the schedule alone.
	must(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: id, RotateImmediately: aws.Bool(false), RotationRules: &types.RotationRulesType{ScheduleExpression: aws.String("cron(0 8 1 * ? *)")}}))(t)
	s.work()
	d = c.describe(t, "s")
	if !slices.Contains(d.VersionIdsToStages[tokenB], "AWSCURRENT") || d.NextRotationDate.Day() != 1 || *d.RotationRules.ScheduleExpression != "cron(0 8 1 * ? *)" || d.RotationRules.AutomaticallyAfterDays != nil {
		t.Errorf("scheduled %+v", d)
	}

	must(c.CancelRotateSecret(ctx, &sm.CancelRotateSecretInput{SecretId: id}))(t)
	if d := c.describe(t, "s"); *d.RotationEnabled || d.NextRotationDate != nil || d.LastRotatedDate == nil {
		t.Errorf("cancelled %+v", d)
	}
	must(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: id, ClientRequestToken: aws.String(tokenC)}))(t)
	s.work()
	if d := c.describe(t, "s"); !slices.Contains(d.VersionIdsToStages[tokenC], "AWSCURRENT") || !*d.RotationEnabled {
		t.Errorf("begun again: %+v", d)
	}
}

// TestRotatorRefused: what no rotator could follow changes nothing.
func TestRotatorRefused(t *testing.T) {
	s := newService(t)
	c := s.tenant("acme")
	c.create(t, "s", "1")
	for name, in := range map[string]sm.RotateSecretInput{
		"unknown rotator": {RotationLambdaARN: aws.String("fastness:rotator/oracle")},
		"config":          {RotationLambdaARN: aws.String("fastness:rotator/password"), ExternalSecretRotationMetadata: item("config", `{"lenght":1}`)},
		"no JSON":         {RotationLambdaARN: aws.String("fastness:rotator/password"), ExternalSecretRotationMetadata: item("config", `{`)},
		"other item":      {RotationLambdaARN: aws.String("fastness:rotator/password"), ExternalSecretRotationMetadata: item("length", `1`)},
		"URL":             {RotationLambdaARN: aws.String("https://user:pass@host/")},
		"webhook's item":  {RotationLambdaARN: aws.String("https://host.example/"), ExternalSecretRotationMetadata: item("colour", "red")},
		"time-out":        {RotationLambdaARN: aws.String("https://host.example/"), ExternalSecretRotationMetadata: item("timeoutSeconds", "soon")},
	} {
		in.SecretId = aws.String("s")
		want(t, errOf(c.RotateSecret(ctx, &in)), "InvalidParameterException", "")
		if d := c.describe(t, "s"); d.RotationEnabled != nil {
			t.Errorf("%s: described %+v", name, d)
		}
	}
	// A key that is not there, and a value that the rotator cannot work with.
	for _, in := range []sm.RotateSecretInput{
		{RotationLambdaARN: aws.String("https://host.example/"), ExternalSecretRotationMetadata: item("signingKey", "none")},
		{RotationLambdaARN: aws.String("fastness:rotator/postgres")},
		{RotationLambdaARN: aws.String("fastness:rotator/password"), RotationRules: &types.RotationRulesType{ScheduleExpression: aws.String("rate(1 hour)")}},
	} {
		in.SecretId = aws.String("s")
		want(t, errOf(c.RotateSecret(ctx, &in)), "InvalidParameterException", "")
		if d := c.describe(t, "s"); d.RotationEnabled != nil {
			t.Errorf("%s: described %+v", *in.RotationLambdaARN, d)
		}
	}
	// Of a secret that rotates, the rules stay those that are in force.
	must(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: aws.String("s"), RotateImmediately: aws.Bool(false), RotationLambdaARN: aws.String("fastness:rotator/password"),
		RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)}}))(t)
	before := c.describe(t, "s")
	for _, rules := range []types.RotationRulesType{
		{ScheduleExpression: aws.String("rate(1 hour)")},
		{ScheduleExpression: aws.String("rate(0 days)")},
		{ScheduleExpression: aws.String("rate(4 hours)"), Duration: aws.String("30h")},
		{Duration: aws.String("3h")},
	} {
		want(t, errOf(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: aws.String("s"), RotationRules: &rules})), "InvalidParameterException", "")
		d := c.describe(t, "s")
		if *d.RotationRules.AutomaticallyAfterDays != 30 || d.RotationRules.ScheduleExpression != nil || d.RotationRules.Duration != nil || !d.NextRotationDate.Equal(*before.NextRotationDate) {
			t.Errorf("%+v: described %+v, next %v, before %v", rules, d.RotationRules, d.NextRotationDate, before.NextRotationDate)
		}
	}
	s.bind("acme", policy.Grant{Role: policy.Rotator})
	want(t, errOf(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: aws.String("s"), RotationLambdaARN: aws.String("fastness:rotator/api-key")})), "AccessDeniedException", "")
}

// TestRotationFunction: a webhook gets AWS's events, and what AWS says of a
// rotation that is not complete.
func TestRotationFunction(t *testing.T) {
	s := newService(t)
	c := s.tenant("acme")
	c.create(t, "s", "1")
	id := aws.String("s")
	var broken, set atomic.Bool
	var steps []string // written by one request after the other
	function := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var event struct{ Step, SecretID, ClientRequestToken, RotationToken string }
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil || event.RotationToken == "" {
			t.Errorf("event %+v, %v", event, err)
		}
		steps = append(steps, event.Step)
		d := c.describe(t, event.SecretID)
		if !slices.Contains(d.VersionIdsToStages[event.ClientRequestToken], "AWSPENDING") || !*d.RotationEnabled {
			t.Errorf("%s: described %+v", event.Step, d)
		}
		switch _, err := c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: &event.SecretID, VersionId: &event.ClientRequestToken, VersionStage: aws.String("AWSPENDING")}); {
		case event.Step == "createSecret" && err != nil:
			want(t, err, "ResourceNotFoundException", "")
			must(c.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: &event.SecretID, ClientRequestToken: &event.ClientRequestToken, SecretString: aws.String("2"), VersionStages: []string{"AWSPENDING"}}))(t)
		case err != nil:
			t.Error(err)
		case event.Step == "setSecret" && broken.Load():
			w.WriteHeader(http.StatusInternalServerError)
		case event.Step == "setSecret":
			set.Store(true)
		case event.Step == "testSecret" && !set.Load():
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(function.Close)
	broken.Store(true)
	out := must(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: id, ClientRequestToken: aws.String(tokenA), RotationLambdaARN: &function.URL}))(t)
	s.work()
	want(t, errOf(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: id, ClientRequestToken: aws.String(tokenB)})), "InvalidRequestException",
		"A previous rotation isn't complete. That rotation will be reattempted.")
	must(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: id, ClientRequestToken: out.VersionId}))(t)

	must(c.CancelRotateSecret(ctx, &sm.CancelRotateSecretInput{SecretId: id}))(t)
	s.work()
	if d := c.describe(t, "s"); !slices.Equal(d.VersionIdsToStages[tokenA], []string{"AWSPENDING"}) || *d.RotationEnabled {
		t.Errorf("cancelled %+v", d)
	}

	broken.Store(false)
	want(t, errOf(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: id, ClientRequestToken: aws.String(tokenC)})), "InvalidRequestException", "")
	s.work()
	d := c.describe(t, "s")
	if !slices.Equal(d.VersionIdsToStages[tokenA], []string{"AWSCURRENT"}) || len(d.VersionIdsToStages) != 2 || d.LastRotatedDate == nil {
		t.Errorf("finished %+v", d)
	}
	if got := strings.Join(steps, " "); !strings.HasPrefix(got, "createSecret setSecret") || !strings.HasSuffix(got, "setSecret testSecret finishSecret") {
		t.Errorf("steps %s", got)
	}
}
