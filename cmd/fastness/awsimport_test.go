package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/google/go-cmp/cmp"
)

// sdk is AWS's SDK for Go with the server's access key.
func (d *devServer) sdk() *secretsmanager.Client {
	return secretsmanager.New(secretsmanager.Options{
		BaseEndpoint: &d.Address, Region: d.Region, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(d.AccessKeyID, d.SecretAccessKey, ""),
	})
}

// importing is a source and a tenant that secrets are copied to.
type importing struct {
	t              *testing.T
	source, target *devServer
	from, to       *secretsmanager.Client
}

func startImporting(t *testing.T) *importing {
	i := &importing{t: t, source: startDev(t), target: startDev(t)}
	i.from, i.to = i.source.sdk(), i.target.sdk()
	return i
}

// summary is what the command says with --json.
type summary struct {
	Items []struct {
		Name, Source, Outcome, Reason, Rotation string
		Versions                                int
	}
	Created, Updated, Unchanged, Skipped, Failed int
	DryRun                                       bool
}

// run runs `fastness import aws`, and expects the exit code.
func (i *importing) run(code int, args ...string) summary {
	i.t.Helper()
	env := append(i.source.awsEnvironment(), clientEnv(i.target.Address, i.target.Token, i.target.Tenant)...)
	o := run(i.t, env, nil, append([]string{"import", "aws", "--json"}, args...)...)
	if o.code != code {
		i.t.Fatalf("import aws %v: exit code %d, want %d: %s%s", args, o.code, code, o.stdout, o.stderr)
	}
	var s summary
	if len(o.stdout) > 0 {
		if err := json.Unmarshal(o.stdout, &s); err != nil {
			i.t.Fatalf("%s: %v", o.stdout, err)
		}
	}
	return s
}

// outcomes are what became of each secret.
func (s summary) outcomes() map[string]string {
	out := map[string]string{}
	for _, item := range s.Items {
		out[item.Name] = fmt.Sprintf("%s %d", item.Outcome, item.Versions)
	}
	return out
}

func (i *importing) want(got summary, want map[string]string) {
	i.t.Helper()
	if diff := cmp.Diff(want, got.outcomes()); diff != "" {
		i.t.Errorf("outcomes (-want +got):\n%s\n%+v", diff, got)
	}
}

// create makes a secret with further versions, each with its labels.
func (i *importing) create(name, value string, further ...labelled) {
	i.t.Helper()
	_, err := i.from.CreateSecret(i.t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value,
		Description: aws.String("about " + name), Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("shop")}}})
	if err != nil {
		i.t.Fatal(err)
	}
	i.put(name, further...)
}

// rotate gives a secret a schedule that it is not due by.
func (i *importing) rotate(name string) {
	i.t.Helper()
	_, err := i.from.RotateSecret(i.t.Context(), &secretsmanager.RotateSecretInput{SecretId: &name, RotationLambdaARN: aws.String("fastness:rotator/password"),
		RotateImmediately: aws.Bool(false), RotationRules: &types.RotationRulesType{ScheduleExpression: aws.String("cron(0 8 1 * ? *)")}})
	if err != nil {
		i.t.Fatal(err)
	}
}

type labelled struct {
	value  string
	stages []string // none: AWSCURRENT
}

func (i *importing) put(name string, versions ...labelled) {
	i.t.Helper()
	for _, v := range versions {
		if _, err := i.from.PutSecretValue(i.t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &v.value, VersionStages: v.stages}); err != nil {
			i.t.Fatal(err)
		}
	}
}

// same expects a secret of the source to be as it is there, by its versions'
// ids, labels and values, and its metadata.
func (i *importing) same(name string) {
	i.t.Helper()
	type picture struct {
		Description string
		Tags        []types.Tag
		Stages      map[string][]string
		Values      map[string]string
	}
	look := func(c *secretsmanager.Client) picture {
		d, err := c.DescribeSecret(i.t.Context(), &secretsmanager.DescribeSecretInput{SecretId: &name})
		if err != nil {
			i.t.Fatal(err)
		}
		p := picture{aws.ToString(d.Description), d.Tags, d.VersionIdsToStages, map[string]string{}}
		for id := range d.VersionIdsToStages {
			v, err := c.GetSecretValue(i.t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &name, VersionId: &id})
			if err != nil {
				i.t.Fatal(err)
			}
			p.Values[id] = aws.ToString(v.SecretString) + string(v.SecretBinary)
		}
		return p
	}
	if diff := cmp.Diff(look(i.from), look(i.to), cmp.AllowUnexported(types.Tag{})); diff != "" {
		i.t.Errorf("%s (-source +target):\n%s", name, diff)
	}
}

// TestImportAWS copies from one server to another, again when there is nothing
// new, and again when there is.
func TestImportAWS(t *testing.T) {
	t.Parallel()
	i := startImporting(t)
	i.create("shop/db", "one", labelled{value: "two"}, labelled{value: "three"}, labelled{"four", []string{"AWSPENDING", "blue"}})
	i.rotate("shop/db")
	i.create("shop/escapes", "line\n\"quoted\" \\ ‑ <&> \u0001")
	i.create("other", "o")
	if _, err := i.from.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("shop/blob"), SecretBinary: []byte("\x00\xff\xfe")}); err != nil {
		t.Fatal(err)
	}
	if _, err := i.from.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("shop/empty")}); err != nil {
		t.Fatal(err)
	}
	i.create("shop/gone", "g")
	if _, err := i.from.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: aws.String("shop/gone")}); err != nil {
		t.Fatal(err)
	}

	all := map[string]string{"shop/blob": "created 1", "shop/db": "created 3", "shop/empty": "skipped 0", "shop/escapes": "created 1"}
	dry := i.run(0, "--dry-run", "--filter", "name=shop/")
	i.want(dry, all)
	if got := dry.Items[1].Rotation; got != "cron(0 8 1 * ? *)" {
		t.Errorf("told rotation %q", got)
	}
	if list := i.listTarget(); len(list) != 0 || !dry.DryRun {
		t.Errorf("a dry run stored %v", list)
	}
	i.want(i.run(0, "--filter", "name=shop/"), all)
	for _, name := range []string{"shop/blob", "shop/db", "shop/escapes"} {
		i.same(name)
	}
	due := run(t, clientEnv(i.target.Address, i.target.Token, i.target.Tenant), nil, "describe", "shop/db", "--json")
	if !strings.Contains(string(due.stdout), `"rotationRequired":true`) {
		t.Errorf("it rotates there, and here is %s", due.stdout)
	}

	i.want(i.run(0, "--filter", "name=shop/"), map[string]string{
		"shop/blob": "unchanged 0", "shop/db": "unchanged 0", "shop/empty": "skipped 0", "shop/escapes": "unchanged 0"})

	// What came since is brought; AWSPENDING is never what readers get meanwhile.
	i.put("shop/db", labelled{value: "five"}, labelled{"six", []string{"AWSPENDING"}})
	if _, err := i.from.UpdateSecret(t.Context(), &secretsmanager.UpdateSecretInput{SecretId: aws.String("shop/escapes"), Description: aws.String("new")}); err != nil {
		t.Fatal(err)
	}
	i.want(i.run(0, "--filter", "name=shop/db", "--filter", "name=shop/esc"), map[string]string{"shop/db": "updated 2", "shop/escapes": "updated 0"})
	i.same("shop/db")
	i.same("shop/escapes")

	i.want(i.run(0, "--filter", "name=!shop/", "--prefix", "old/"), map[string]string{"old/other": "created 1"})
}

func (i *importing) listTarget() []types.SecretListEntry {
	i.t.Helper()
	l, err := i.to.ListSecrets(i.t.Context(), &secretsmanager.ListSecretsInput{})
	if err != nil {
		i.t.Fatal(err)
	}
	return l.SecretList
}

// TestImportAWSDeprecated copies versions that have no label any more.
func TestImportAWSDeprecated(t *testing.T) {
	t.Parallel()
	i := startImporting(t)
	i.create("old", "one", labelled{value: "two"}, labelled{value: "three"})
	i.want(i.run(0), map[string]string{"old": "created 2"})
	i.want(i.run(0, "--deprecated"), map[string]string{"old": "updated 1"})
	i.same("old")
	l, err := i.to.ListSecretVersionIds(t.Context(), &secretsmanager.ListSecretVersionIdsInput{SecretId: aws.String("old"), IncludeDeprecated: aws.Bool(true)})
	if err != nil || len(l.Versions) != 3 {
		t.Errorf("%+v, %v", l, err)
	}
}

// TestImportAWSConflicts meets secrets of the tenant's own, and what the tenant
// does not take.
func TestImportAWSConflicts(t *testing.T) {
	t.Parallel()
	i := startImporting(t)
	i.create("a", "theirs")
	i.create("b", "b")
	i.create("long", "l")
	_, err := i.from.UpdateSecret(t.Context(), &secretsmanager.UpdateSecretInput{SecretId: aws.String("long"), Description: aws.String(strings.Repeat("d", 501))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.to.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("a"), SecretString: aws.String("ours")}); err != nil {
		t.Fatal(err)
	}
	got := i.run(1)
	i.want(got, map[string]string{"a": "failed 0", "b": "created 1", "long": "failed 0"})
	for n, reason := range map[int]string{0: "not from there", 2: "description: limit: at most 500 characters"} {
		if !strings.Contains(got.Items[n].Reason, reason) {
			t.Errorf("%+v, want %q", got.Items[n], reason)
		}
	}
	i.want(i.run(0, "--on-conflict", "skip", "--filter", "name=a"), map[string]string{"a": "skipped 0"})
	i.reads("a", "ours")
	i.want(i.run(0, "--on-conflict", "update", "--filter", "name=a"), map[string]string{"a": "updated 1"})
	i.reads("a", "theirs")

	// Once the tenant has gone on by itself, the source has no more say.
	if _, err := i.to.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String("b"), SecretString: aws.String("ours")}); err != nil {
		t.Fatal(err)
	}
	i.want(i.run(1, "--filter", "name=b"), map[string]string{"b": "failed 0"})
	i.reads("b", "ours")
	if _, err := i.to.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: aws.String("b")}); err != nil {
		t.Fatal(err)
	}
	i.want(i.run(1, "--filter", "name=b", "--on-conflict", "update"), map[string]string{"b": "failed 0"})
}

func (i *importing) reads(name, want string) {
	i.t.Helper()
	v, err := i.to.GetSecretValue(i.t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &name})
	if err != nil || *v.SecretString != want {
		i.t.Errorf("%s: %+v, %v, want %q", name, v, err, want)
	}
}

// TestImportAWSGoesOn cuts a run off, again and again, until one gets through.
func TestImportAWSGoesOn(t *testing.T) {
	t.Parallel()
	i := startImporting(t)
	for n := range 12 {
		i.create(fmt.Sprintf("s/%02d", n), "one", labelled{value: "two"}, labelled{"three", []string{"AWSPENDING"}})
	}
	proxy, left := i.cut(7)
	runs := 0
	for ; ; runs++ {
		left.Store(7)
		env := append(i.source.awsEnvironment(), clientEnv(i.target.Address, i.target.Token, i.target.Tenant)...)
		o := run(t, env, nil, "import", "aws", "--endpoint-url", proxy)
		if o.code == 0 {
			break
		}
		if o.code != 4 || !strings.Contains(string(o.stderr), "ExpiredTokenException") || runs > 10 {
			t.Fatalf("run %d: exit code %d: %s", runs, o.code, o.stderr)
		}
	}
	if runs < 3 { // 36 values, 7 a run
		t.Errorf("only %d runs were cut off", runs)
	}
	for n := range 12 {
		i.same(fmt.Sprintf("s/%02d", n))
	}
}

// cut is the source behind a proxy that lets some values through.
func (i *importing) cut(values int32) (address string, left *atomic.Int32) {
	left = new(atomic.Int32)
	left.Store(values)
	behind, err := url.Parse(i.source.Address)
	if err != nil {
		i.t.Fatal(err)
	}
	through := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(behind)
		r.Out.Host = r.In.Host // which is signed
	}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetSecretValue") && left.Add(-1) < 0 {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"__type":"ExpiredTokenException","Message":"The security token included in the request is expired"}`)
			return
		}
		through.ServeHTTP(w, r)
	}))
	i.t.Cleanup(s.Close)
	return s.URL, left
}

// TestImportAWSRefuses: what is typed wrong, and who may not.
func TestImportAWSRefuses(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	if _, err := d.sdk().CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("a"), SecretString: aws.String("a")}); err != nil {
		t.Fatal(err)
	}
	good := append(d.awsEnvironment(), clientEnv(d.Address, d.Token, d.Tenant)...)
	for _, c := range []struct {
		args string
		env  []string
		code int
		says string
	}{
		{"--filter name", nil, 2, "--filter is KEY=TEXT"},
		{"--filter colour=red", nil, 2, "--filter is KEY=TEXT"},
		{"--on-conflict win", nil, 2, "--on-conflict is"},
		{"--endpoint-url http://192.0.2.1", nil, 2, "refusing plain http"},
		{"--endpoint-url 127.0.0.1:80", nil, 2, "--endpoint-url is a URL"},
		{"", []string{"AWS_REGION=", "AWS_DEFAULT_REGION="}, 2, "no region"},
		{"", []string{"AWS_SECRET_ACCESS_KEY=wrong"}, 4, "AWS refuses ListSecrets: InvalidSignatureException"},
		{"", []string{"AWS_ACCESS_KEY_ID=FSKAAAAAAAAAAAAAAAAA"}, 4, "AWS refuses ListSecrets: UnrecognizedClientException"},
		{"--endpoint-url http://" + freeAddress(t), nil, 1, "cannot reach"},
		{"", []string{"FASTNESS_TOKEN=fst_none"}, 4, "hint"},
		{"--profile none", nil, 1, "none"},
	} {
		o := run(t, append(good, c.env...), nil, append([]string{"import", "aws"}, strings.Fields(c.args)...)...)
		if o.code != c.code || !strings.Contains(string(o.stderr), c.says) {
			t.Errorf("%s %v: exit code %d, want %d and %q: %s", c.args, c.env, o.code, c.code, c.says, o.stderr)
		}
	}
}
