package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// awsEnvironment is what points a client of AWS at the server: the endpoint and
// an access key, nothing else.
func (d *devServer) awsEnvironment() []string {
	return []string{
		"AWS_ENDPOINT_URL_SECRETS_MANAGER=" + d.Address, "AWS_REGION=" + d.Region, "AWS_DEFAULT_REGION=" + d.Region,
		"AWS_ACCESS_KEY_ID=" + d.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + d.SecretAccessKey,
		"AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"FASTNESS_ADDR=" + d.Address, // for clients too old to know the variable for the endpoint
	}
}

// TestAWSGo: the newest SDK for Go, configured by its environment alone.
func TestAWSGo(t *testing.T) {
	d := startDev(t)
	for _, pair := range d.awsEnvironment() {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	ctx := context.Background()
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sm := secretsmanager.NewFromConfig(c)
	name := aws.String("go/main-path")
	made, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: name, SecretString: aws.String("one")})
	if err != nil {
		t.Fatal(err)
	}
	if want := "arn:aws:secretsmanager:" + d.Region + ":" + d.AccountID + ":secret:go/main-path-"; !strings.HasPrefix(*made.ARN, want) {
		t.Errorf("ARN %s, want %s…", *made.ARN, want)
	}
	if _, err := sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: made.ARN, SecretString: aws.String("two")}); err != nil {
		t.Fatal(err)
	}
	for stage, want := range map[string]string{"AWSCURRENT": "two", "AWSPREVIOUS": "one"} {
		out, err := sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: name, VersionStage: &stage})
		if err != nil || *out.SecretString != want {
			t.Errorf("%s: %+v, %v", stage, out, err)
		}
	}
	var absent *types.ResourceNotFoundException
	if _, err := sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("none")}); !errors.As(err, &absent) {
		t.Errorf("a secret that is not there: %v", err)
	}
	// What came in through one front goes out through the other.
	native, err := d.operator().send(http.MethodGet, "/api/v1/tenants/"+d.Tenant+"/secrets/go%2Fmain-path/value", nil)
	if err != nil || native.status != http.StatusOK || !bytes.Contains(native.body, []byte(`"value":"two"`)) {
		t.Errorf("native read: %+v, %v", native, err)
	}
}

// runAWS runs a client of AWS against the server.
func (d *devServer) runAWS(t *testing.T, dir, program string, args ...string) (stdout []byte, err error) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append(environment(t.TempDir(), d.awsEnvironment()...), "PATH="+os.Getenv("PATH"))
	var out, fault bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &fault
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("%s %s: %w: %s%s", program, strings.Join(args, " "), err, out.Bytes(), fault.Bytes())
	}
	return out.Bytes(), nil
}

// installed prefers the system's packages, which scripts/install brings, to
// whatever else the PATH has.
func installed(t *testing.T, name string) string {
	t.Helper()
	if path := filepath.Join("/usr/bin", name); isThere(path) {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: run scripts/install", err)
	}
	return path
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// TestAWSCommandLine: every operation that Debian's command line knows. It is
// too old for the variable of the endpoint, and for BatchGetSecretValue.
func TestAWSCommandLine(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	program := installed(t, "aws")
	run := func(args ...string) (map[string]any, error) {
		out, err := d.runAWS(t, "", program, append([]string{"--endpoint-url", d.Address, "--output", "json", "secretsmanager"}, args...)...)
		if err != nil {
			return nil, err
		}
		v := map[string]any{}
		if len(bytes.TrimSpace(out)) == 0 {
			return v, nil
		}
		return v, json.Unmarshal(out, &v)
	}
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + d.AccountID + `"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`
	var first, second string
	id := func(v map[string]any) string { s, _ := v["VersionId"].(string); return s }
	for _, step := range []struct {
		args    []string
		member  string // of the answer, which must be want
		want    any
		refused string // with this type of error
	}{
		{args: []string{"create-secret", "--name", "cli/a", "--secret-string", "one", "--tags", "Key=k,Value=v"}, member: "Name", want: "cli/a"},
		{args: []string{"get-secret-value", "--secret-id", "cli/a"}, member: "SecretString", want: "one"},
		{args: []string{"put-secret-value", "--secret-id", "cli/a", "--secret-string", "two"}, member: "Name", want: "cli/a"},
		{args: []string{"get-secret-value", "--secret-id", "cli/a", "--version-stage", "AWSPREVIOUS"}, member: "SecretString", want: "one"},
		{args: []string{"update-secret-version-stage", "--secret-id", "cli/a", "--version-stage", "AWSCURRENT", "--remove-from-version-id", "SECOND", "--move-to-version-id", "FIRST"}, member: "Name", want: "cli/a"},
		{args: []string{"get-secret-value", "--secret-id", "cli/a"}, member: "SecretString", want: "one"},
		{args: []string{"update-secret", "--secret-id", "cli/a", "--description", "d", "--secret-string", "three"}, member: "Name", want: "cli/a"},
		{args: []string{"describe-secret", "--secret-id", "cli/a"}, member: "Description", want: "d"},
		{args: []string{"list-secrets", "--filters", "Key=name,Values=cli/"}, member: "SecretList"},
		{args: []string{"list-secret-version-ids", "--secret-id", "cli/a", "--include-deprecated"}, member: "Versions"},
		{args: []string{"tag-resource", "--secret-id", "cli/a", "--tags", "Key=a,Value=b"}},
		{args: []string{"untag-resource", "--secret-id", "cli/a", "--tag-keys", "a", "k"}},
		{args: []string{"get-random-password", "--password-length", "20"}, member: "RandomPassword"},
		{args: []string{"validate-resource-policy", "--resource-policy", policy}, member: "PolicyValidationPassed", want: true},
		{args: []string{"put-resource-policy", "--secret-id", "cli/a", "--resource-policy", policy, "--block-public-policy"}, member: "Name", want: "cli/a"},
		{args: []string{"get-resource-policy", "--secret-id", "cli/a"}, member: "ResourcePolicy", want: policy},
		{args: []string{"delete-resource-policy", "--secret-id", "cli/a"}, member: "Name", want: "cli/a"},
		{args: []string{"rotate-secret", "--secret-id", "cli/a"}, refused: "InvalidRequestException"},
		{args: []string{"cancel-rotate-secret", "--secret-id", "cli/a"}, member: "Name", want: "cli/a"},
		{args: []string{"replicate-secret-to-regions", "--secret-id", "cli/a", "--add-replica-regions", "Region=xx-none-1"}, refused: "InvalidParameterException"},
		{args: []string{"remove-regions-from-replication", "--secret-id", "cli/a", "--remove-replica-regions", "xx-none-1"}, refused: "InvalidParameterException"},
		{args: []string{"stop-replication-to-replica", "--secret-id", "cli/a"}, refused: "InvalidRequestException"},
		{args: []string{"delete-secret", "--secret-id", "cli/a", "--recovery-window-in-days", "7"}, member: "Name", want: "cli/a"},
		{args: []string{"get-secret-value", "--secret-id", "cli/a"}, refused: "InvalidRequestException"},
		{args: []string{"restore-secret", "--secret-id", "cli/a"}, member: "Name", want: "cli/a"},
		{args: []string{"delete-secret", "--secret-id", "cli/a", "--force-delete-without-recovery"}, member: "Name", want: "cli/a"},
		{args: []string{"get-secret-value", "--secret-id", "cli/a"}, refused: "ResourceNotFoundException"},
	} {
		for i, a := range step.args {
			step.args[i] = strings.NewReplacer("FIRST", first, "SECOND", second).Replace(a)
		}
		v, err := run(step.args...)
		switch {
		case step.refused != "":
			if err == nil || !strings.Contains(err.Error(), "("+step.refused+")") {
				t.Errorf("%s: %v, want %s", step.args[0], err, step.refused)
			}
		case err != nil:
			t.Error(err)
		case step.member != "" && v[step.member] == nil, step.want != nil && v[step.member] != step.want:
			t.Errorf("%s: %s is %v, want %v", step.args[0], step.member, v[step.member], step.want)
		}
		switch step.args[0] {
		case "create-secret":
			first = id(v)
		case "put-secret-value":
			second = id(v)
		}
	}
}

// TestAWSPython: Debian's boto3, on the main path.
func TestAWSPython(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	out, err := d.runAWS(t, "", installed(t, "python3"), "testdata/aws/main_path.py")
	if err != nil || !strings.HasSuffix(string(out), "done\n") {
		t.Errorf("%s, %v", out, err)
	}
}

// TestAWSJavaScript: the newest SDK for JavaScript, on the main path, configured
// by its environment alone.
func TestAWSJavaScript(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/aws/js")); err != nil {
		t.Fatal(err)
	}
	install := exec.Command(installed(t, "npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v: %s", err, out)
	}
	out, err := d.runAWS(t, dir, installed(t, "node"), "main_path.mjs")
	if err != nil || !strings.HasSuffix(string(out), "done\n") {
		t.Errorf("%s, %v", out, err)
	}
}
