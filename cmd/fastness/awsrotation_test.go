package main_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"
)

// bridge is a rotation function written for AWS behind HTTP.
type bridge struct {
	url    string
	target string // the file whose content it rotates

	mu   sync.Mutex // guards done
	done []string   // steps with their status
}

func (d *devServer) startBridge(t *testing.T) *bridge {
	t.Helper()
	b := &bridge{target: filepath.Join(t.TempDir(), "target")}
	cmd := exec.Command(installed(t, "python3"), "testdata/aws/rotation_function.py", b.target)
	cmd.Env = append(environment(t.TempDir(), d.awsEnvironment()...), "PATH="+os.Getenv("PATH"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("the bridge does not begin: %v", lines.Err())
	}
	b.url = lines.Text()
	go func() { // ends with the bridge
		for lines.Scan() {
			b.mu.Lock()
			b.done = append(b.done, lines.Text())
			b.mu.Unlock()
		}
	}()
	return b
}

// steps are those since the last call. A step may come twice, as on a machine so
// busy that the worker loses its lease; the second time is left out.
func (b *bridge) steps() (once []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, step := range b.done {
		if !slices.Contains(once, step) {
			once = append(once, step)
		}
	}
	b.done = nil
	return once
}

// TestAWSRotationFunction: a function as they are written for AWS, with boto3,
// rotates a credential by the four steps, twice.
func TestAWSRotationFunction(t *testing.T) {
	t.Parallel()
	d := startDev(t)
	b, sm, ctx := d.startBridge(t), d.sdk(), t.Context()
	id := aws.String("app/db")
	made, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: id, SecretString: aws.String(`{"username":"app","password":"first"}`)})
	if err != nil {
		t.Fatal(err)
	}
	before := *made.VersionId
	for range 2 {
		out, err := sm.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: id, RotationLambdaARN: &b.url})
		if err != nil {
			t.Fatal(err)
		}
		described := finished(t, sm, id, *out.VersionId)
		if diff := cmp.Diff([]string{"createSecret 200", "setSecret 200", "testSecret 200", "finishSecret 200"}, b.steps()); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		want := map[string][]string{*out.VersionId: {"AWSCURRENT"}, before: {"AWSPREVIOUS"}}
		if diff := cmp.Diff(want, described.VersionIdsToStages); diff != "" {
			t.Errorf("stages (-want +got):\n%s", diff)
		}
		before = *out.VersionId
		v, err := sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: id})
		if err != nil {
			t.Fatal(err)
		}
		var login struct{ Username, Password string }
		if err := json.Unmarshal([]byte(*v.SecretString), &login); err != nil {
			t.Fatal(err)
		}
		target, err := os.ReadFile(b.target)
		if err != nil || login.Username != "app" || len(login.Password) != 32 || string(target) != login.Password {
			t.Errorf("the target has %q, the secret %+v: %v", target, login, err)
		}
	}
}

// finished waits until the version is current and AWSPENDING gone: the service
// clears it when a rotation is over, which the function does not.
func finished(t *testing.T, sm *secretsmanager.Client, id *string, version string) *secretsmanager.DescribeSecretOutput {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		d, err := sm.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: id})
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(d.VersionIdsToStages[version], []string{"AWSCURRENT"}) {
			return d
		}
		if time.Now().After(deadline) {
			t.Fatalf("the rotation does not end: %v", d.VersionIdsToStages)
		}
	}
}
