package awsapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// damage changes rows of a tenant behind the vault's back.
func (s *service) damage(tenant secret.TenantName, f func(tx store.Tx, t *store.Tenant) error) {
	s.t.Helper()
	err := s.store.Update(ctx, func(tx store.Tx) error {
		t, err := tx.Tenants().ByName(tenant)
		if err != nil {
			return err
		}
		return f(tx, t)
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// breakVersion flips a bit of a secret's only version.
func breakVersion(name secret.Name) func(store.Tx, *store.Tenant) error {
	return func(tx store.Tx, t *store.Tenant) error {
		sec, v, err := tx.Secrets(t.ID).Find(name, store.Selector{}, "")
		if err != nil {
			return err
		}
		broken := *v
		broken.Ciphertext[0] ^= 1
		return errors.Join(tx.EditSecrets(t.ID).DeleteVersion(sec.ID, v.Number), tx.EditSecrets(t.ID).AddVersion(sec.ID, &broken))
	}
}

// breakKey flips a bit of a tenant's wrapped key.
func breakKey(tx store.Tx, t *store.Tenant) error {
	k, err := tx.Tenants().Key(t.ID, t.Key)
	if err != nil {
		return err
	}
	k.KEK[len(k.KEK)-1] ^= 1
	return tx.EditTenants().PutKey(t.ID, k)
}

// typed expects an error that the SDK makes an exception of type T of, with the
// status that the protocol has for it.
func typed[T error](tb testing.TB, what string, err error, status int) {
	tb.Helper()
	var exception T
	var response *awshttp.ResponseError
	if !errors.As(err, &exception) {
		tb.Errorf("%s: %v, want %T", what, err, exception)
	}
	if !errors.As(err, &response) || response.HTTPStatusCode() != status {
		tb.Errorf("%s: %v, want status %d", what, err, status)
	}
}

// TestErrorTypes, with the tests after it, provokes every error type of the SDK
// that has a cause here: all but EncryptionFailure (see TestBrokenKey) and
// PreconditionNotMetException, for which the model tells no cause.
func TestErrorTypes(t *testing.T) {
	s := newService(t)
	c := s.tenant("acme")
	id := c.create(t, "s", "1").ARN
	bad := http.StatusBadRequest
	get := func(id string) error {
		return errOf(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: &id}))
	}
	policy := func(text string, block bool) error {
		return errOf(c.PutResourcePolicy(ctx, &sm.PutResourcePolicyInput{SecretId: id, ResourcePolicy: &text, BlockPublicPolicy: &block}))
	}
	typed[*types.ResourceNotFoundException](t, "none", get("none"), bad)
	typed[*types.ResourceExistsException](t, "twice", errOf(c.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("2")})), bad)
	typed[*types.InvalidParameterException](t, "both values", errOf(c.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: id, SecretString: aws.String("2"), SecretBinary: []byte("2")})), bad)
	typed[*types.InvalidRequestException](t, "no rotator", errOf(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: id})), bad)
	typed[*types.InvalidNextTokenException](t, "page", errOf(c.ListSecrets(ctx, &sm.ListSecretsInput{NextToken: aws.String("x")})), bad)
	typed[*types.MalformedPolicyDocumentException](t, "no policy", policy("{", false), bad)
	typed[*types.PublicPolicyException](t, "for all", policy(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`, true), bad)

	for n := range 18 { // with AWSCURRENT and AWSPREVIOUS, 20
		c.put(t, "s", "2", "AWSCURRENT", fmt.Sprintf("label-%d", n))
	}
	typed[*types.LimitExceededException](t, "labels", errOf(c.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: id, SecretString: aws.String("2"), VersionStages: []string{"one-more"}})), bad)
	if _, err := s.vault.Operator(s.vault.Local(vault.Origin{})).SetQuotas(ctx, "acme", secret.Quotas{Secrets: 1}, nil); err != nil {
		t.Fatal(err)
	}
	typed[*types.LimitExceededException](t, "quota", errOf(c.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("t"), SecretString: aws.String("2")})), bad)
}

// TestBrokenEnvelope: what does not open is told as such, and what else there is
// goes on.
func TestBrokenEnvelope(t *testing.T) {
	s := newService(t)
	c := s.tenant("acme")
	c.create(t, "whole", "1")
	c.create(t, "broken", "2")
	s.damage("acme", breakVersion("broken"))
	typed[*types.DecryptionFailure](t, "read", errOf(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String("broken")})), http.StatusBadRequest)
	c.read(t, &sm.GetSecretValueInput{SecretId: aws.String("whole")}, "1")
	batch := must(c.BatchGetSecretValue(ctx, &sm.BatchGetSecretValueInput{SecretIdList: []string{"whole", "broken"}}))(t)
	if len(batch.SecretValues) != 1 || len(batch.Errors) != 1 || *batch.Errors[0].ErrorCode != "DecryptionFailure" {
		t.Errorf("batch %+v", batch)
	}
	if d := c.describe(t, "broken"); len(d.VersionIdsToStages) != 1 {
		t.Errorf("described %+v", d)
	}
}

// TestBrokenKey: the access key does not open either with a tenant's key that
// does not open, so that nothing gets as far as EncryptionFailure. Other tenants
// do not notice.
func TestBrokenKey(t *testing.T) {
	s := newService(t)
	c := s.tenant("acme")
	s.damage("acme", breakKey)
	typed[*types.DecryptionFailure](t, "create", errOf(c.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("1")})), http.StatusBadRequest)
	s.tenant("beta").create(t, "s", "1")
}

// TestBrokenStore: a store that does not answer is 503, tells nothing of itself, and is in the
// log under the request's id.
func TestBrokenStore(t *testing.T) {
	s := newService(t)
	c := s.tenant("acme")
	c.create(t, "s", "1")
	s.dead = true
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"read":  errOf(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String("s")})),
		"write": errOf(c.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: aws.String("s"), SecretString: aws.String("2")})),
		"list":  errOf(c.ListSecrets(ctx, &sm.ListSecretsInput{})),
	} {
		typed[*types.InternalServiceError](t, what, err, http.StatusServiceUnavailable)
		var response *awshttp.ResponseError
		if errors.As(err, &response) && !strings.Contains(s.logged(), response.ServiceRequestID()) {
			t.Errorf("%s: the log does not have %s", what, response.ServiceRequestID())
		}
		if text := err.Error(); strings.Contains(text, "sql") || strings.Contains(text, "closed") {
			t.Errorf("%s: %s", what, text)
		}
	}
}
