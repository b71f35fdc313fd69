package awsapi_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/google/go-cmp/cmp"
)

const (
	notFound    = "Secrets Manager can't find the specified secret."
	markedFor   = "You can't perform this operation on the secret because it was marked for deletion."
	invalidName = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
	tokenA      = "aaaaaaaa-0000-4000-8000-000000000001"
	tokenB      = "bbbbbbbb-0000-4000-8000-000000000002"
	tokenC      = "cccccccc-0000-4000-8000-000000000003"
)

func (c *client) create(tb testing.TB, name, value string) *sm.CreateSecretOutput {
	tb.Helper()
	return must(c.CreateSecret(ctx, &sm.CreateSecretInput{Name: &name, SecretString: &value}))(tb)
}

func (c *client) put(tb testing.TB, name, value string, stages ...string) *sm.PutSecretValueOutput {
	tb.Helper()
	return must(c.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: &name, SecretString: &value, VersionStages: stages}))(tb)
}

func (c *client) read(tb testing.TB, in *sm.GetSecretValueInput, want string) *sm.GetSecretValueOutput {
	tb.Helper()
	out := must(c.GetSecretValue(ctx, in))(tb)
	if aws.ToString(out.SecretString) != want {
		tb.Errorf("read %q, want %q", aws.ToString(out.SecretString), want)
	}
	return out
}

func (c *client) describe(tb testing.TB, id string) *sm.DescribeSecretOutput {
	tb.Helper()
	return must(c.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: &id}))(tb)
}

func TestCreateAndRead(t *testing.T) {
	c := newService(t).tenant("acme")
	value := "pässwörd \" \\ \n \x01 日本 😀"
	made := must(c.CreateSecret(ctx, &sm.CreateSecretInput{
		Name: aws.String("prod/db"), SecretString: &value, Description: aws.String("d"), KmsKeyId: aws.String("alias/k"),
		ClientRequestToken: aws.String(tokenA), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}, Type: aws.String("T"),
	}))(t)
	if !strings.HasPrefix(*made.ARN, "arn:aws:secretsmanager:us-east-1:"+c.account+":secret:prod/db-") || *made.VersionId != tokenA || *made.Name != "prod/db" {
		t.Errorf("made %+v", made)
	}
	for _, id := range []string{"prod/db", *made.ARN, (*made.ARN)[:len(*made.ARN)-7]} {
		out := c.read(t, &sm.GetSecretValueInput{SecretId: &id}, value)
		if *out.ARN != *made.ARN || *out.VersionId != tokenA || !slices.Equal(out.VersionStages, []string{"AWSCURRENT"}) || out.SecretBinary != nil ||
			time.Since(*out.CreatedDate).Abs() > time.Minute {
			t.Errorf("read %+v", out)
		}
	}
	d := c.describe(t, "prod/db")
	if *d.Description != "d" || *d.KmsKeyId != "alias/k" || *d.Type != "T" || len(d.Tags) != 1 || d.LastAccessedDate == nil ||
		!d.LastAccessedDate.Equal(d.LastAccessedDate.Truncate(24*time.Hour)) || d.DeletedDate != nil || d.RotationEnabled != nil {
		t.Errorf("described %+v", d)
	}
	if diff := cmp.Diff(map[string][]string{tokenA: {"AWSCURRENT"}}, d.VersionIdsToStages); diff != "" {
		t.Error(diff)
	}
	blob := []byte{0, 0xff, '\n', 0x80}
	must(c.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("bin"), SecretBinary: blob}))(t)
	out := must(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String("bin")}))(t)
	if !bytes.Equal(out.SecretBinary, blob) || out.SecretString != nil {
		t.Errorf("read %+v", out)
	}
}

func TestCreateIsIdempotent(t *testing.T) {
	c := newService(t).tenant("acme")
	create := func(token, value string) error {
		return errOf(c.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("s"), SecretString: &value, ClientRequestToken: &token}))
	}
	first := must(c.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("1"), ClientRequestToken: aws.String(tokenA)}))(t)
	again := must(c.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("1"), ClientRequestToken: aws.String(tokenA)}))(t)
	if *first.ARN != *again.ARN || *first.VersionId != *again.VersionId {
		t.Errorf("%+v, then %+v", first, again)
	}
	want(t, create(tokenA, "2"), "ResourceExistsException", "You can't use ClientRequestToken "+tokenA+" because that value is already in use for a version of secret "+*first.ARN+".")
	want(t, create(tokenB, "1"), "ResourceExistsException", "The operation failed because the secret s already exists.")
	want(t, create("short", "1"), "InvalidParameterException", "ClientRequestToken must be 32-64 characters long.")
}

func TestCreateRefusals(t *testing.T) {
	c := newService(t).tenant("acme")
	create := func(in sm.CreateSecretInput) error {
		if in.Name == nil {
			in.Name = aws.String("s")
		}
		return errOf(c.CreateSecret(ctx, &in))
	}
	long := func(n int) *string { return aws.String(strings.Repeat("x", n)) }
	want(t, create(sm.CreateSecretInput{Name: aws.String("a b")}), "ValidationException", invalidName)
	want(t, create(sm.CreateSecretInput{Name: aws.String("ä")}), "ValidationException", invalidName)
	want(t, create(sm.CreateSecretInput{Name: long(513)}), "ValidationException", "")
	want(t, create(sm.CreateSecretInput{SecretString: aws.String("x"), SecretBinary: []byte("x")}), "InvalidParameterException",
		"You can't specify both a binary secret value and a string secret value in the same secret.")
	want(t, create(sm.CreateSecretInput{SecretString: long(65_537)}), "ValidationException", "")
	want(t, create(sm.CreateSecretInput{SecretString: aws.String("")}), "ValidationException", "")
	want(t, create(sm.CreateSecretInput{Description: long(2049)}), "ValidationException", "")
	want(t, create(sm.CreateSecretInput{KmsKeyId: long(2049)}), "ValidationException", "")
	want(t, create(sm.CreateSecretInput{Tags: []types.Tag{{Key: long(129), Value: long(1)}}}), "ValidationException", "")
	want(t, create(sm.CreateSecretInput{Tags: []types.Tag{{Key: long(1), Value: long(257)}}}), "ValidationException", "")
	want(t, create(sm.CreateSecretInput{Tags: []types.Tag{{Key: aws.String("aws:x"), Value: long(1)}}}), "InvalidParameterException", "")
	want(t, create(sm.CreateSecretInput{AddReplicaRegions: []types.ReplicaRegionType{{Region: aws.String("xx-none-1")}}}), "InvalidParameterException", "")
	if list := must(c.ListSecrets(ctx, &sm.ListSecretsInput{}))(t); len(list.SecretList) != 0 {
		t.Errorf("a refused request made %+v", list.SecretList)
	}
	must(c.CreateSecret(ctx, &sm.CreateSecretInput{Name: long(512), SecretString: long(65_536)}))(t)
}

// TestBareSecret: a secret can be made without a value.
func TestBareSecret(t *testing.T) {
	c := newService(t).tenant("acme")
	made := must(c.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("s")}))(t)
	if made.VersionId != nil {
		t.Errorf("made %+v", made)
	}
	want(t, errOf(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String("s")})), "ResourceNotFoundException",
		"Secrets Manager can't find the specified secret value for staging label: AWSCURRENT")
	if d := c.describe(t, "s"); d.VersionIdsToStages != nil || d.Tags != nil || d.LastAccessedDate != nil {
		t.Errorf("described %+v", d)
	}
	if out := c.put(t, "s", "1", "AWSPENDING"); !slices.Equal(out.VersionStages, []string{"AWSCURRENT", "AWSPENDING"}) {
		t.Errorf("put %+v", out)
	}
	c.read(t, &sm.GetSecretValueInput{SecretId: aws.String("s")}, "1")
}

func TestStagesOfPut(t *testing.T) {
	c := newService(t).tenant("acme")
	c.create(t, "s", "1")
	two := c.put(t, "s", "2")
	three := c.put(t, "s", "3", "AWSPENDING", "blue")
	s := aws.String("s")
	c.read(t, &sm.GetSecretValueInput{SecretId: s}, "2")
	c.read(t, &sm.GetSecretValueInput{SecretId: s, VersionStage: aws.String("AWSPREVIOUS")}, "1")
	c.read(t, &sm.GetSecretValueInput{SecretId: s, VersionStage: aws.String("AWSPENDING")}, "3")
	c.read(t, &sm.GetSecretValueInput{SecretId: s, VersionStage: aws.String("blue"), VersionId: three.VersionId}, "3")
	c.read(t, &sm.GetSecretValueInput{SecretId: s, VersionId: two.VersionId}, "2")
	want(t, errOf(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: s, VersionStage: aws.String("green")})), "ResourceNotFoundException",
		"Secrets Manager can't find the specified secret value for staging label: green")
	want(t, errOf(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: s, VersionId: aws.String(tokenA)})), "ResourceNotFoundException",
		"Secrets Manager can't find the specified secret value for VersionId: "+tokenA)
	want(t, errOf(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: s, VersionId: two.VersionId, VersionStage: aws.String("blue")})), "ResourceNotFoundException", "")
	want(t, errOf(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: s, VersionId: aws.String("x")})), "InvalidParameterException", "")
	want(t, errOf(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String("none")})), "ResourceNotFoundException", notFound)
	want(t, errOf(c.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: aws.String("none"), SecretString: s})), "ResourceNotFoundException", notFound)
	want(t, errOf(c.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: s})), "InvalidRequestException", "You must provide either SecretString or SecretBinary.")
	// The same token is the same version, and moves nothing.
	put := func(value, token string) error {
		return errOf(c.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: s, SecretString: &value, ClientRequestToken: &token}))
	}
	if err := put("2", *two.VersionId); err != nil {
		t.Error(err)
	}
	want(t, put("x", *two.VersionId), "ResourceExistsException", "")
	c.read(t, &sm.GetSecretValueInput{SecretId: s}, "2")
}

func TestUpdateSecret(t *testing.T) {
	c := newService(t).tenant("acme")
	made := c.create(t, "s", "1")
	s := aws.String("s")
	out := must(c.UpdateSecret(ctx, &sm.UpdateSecretInput{SecretId: made.ARN, Description: aws.String("d"), KmsKeyId: aws.String("k")}))(t)
	if out.VersionId != nil || *out.ARN != *made.ARN {
		t.Errorf("updated %+v", out)
	}
	out = must(c.UpdateSecret(ctx, &sm.UpdateSecretInput{SecretId: s, SecretString: aws.String("2"), Description: aws.String("e"), Type: aws.String("T"), ClientRequestToken: aws.String(tokenB)}))(t)
	if *out.VersionId != tokenB {
		t.Errorf("updated %+v", out)
	}
	c.read(t, &sm.GetSecretValueInput{SecretId: s}, "2")
	c.read(t, &sm.GetSecretValueInput{SecretId: s, VersionStage: aws.String("AWSPREVIOUS")}, "1")
	if d := c.describe(t, "s"); *d.Description != "e" || *d.KmsKeyId != "k" || *d.Type != "T" {
		t.Errorf("described %+v", d)
	}
	want(t, errOf(c.UpdateSecret(ctx, &sm.UpdateSecretInput{SecretId: aws.String("none"), SecretString: s})), "ResourceNotFoundException", notFound)
	want(t, errOf(c.UpdateSecret(ctx, &sm.UpdateSecretInput{SecretId: aws.String("none")})), "ResourceNotFoundException", notFound)
	want(t, errOf(c.UpdateSecret(ctx, &sm.UpdateSecretInput{SecretId: s, SecretString: aws.String("3"), ClientRequestToken: aws.String(tokenB)})), "ResourceExistsException", "")
}

func TestLastChangedRises(t *testing.T) {
	c := newService(t).tenant("acme")
	c.create(t, "s", "1")
	before := *c.describe(t, "s").LastChangedDate
	for i := range 5 {
		must(c.TagResource(ctx, &sm.TagResourceInput{SecretId: aws.String("s"), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String(strings.Repeat("x", i))}}}))(t)
		now := *c.describe(t, "s").LastChangedDate
		if !now.After(before) {
			t.Fatalf("%v after %v", now, before)
		}
		before = now
	}
}

func TestTags(t *testing.T) {
	s := newService(t)
	c := s.tenant("acme")
	c.create(t, "s", "1")
	id := aws.String("s")
	tag := func(k, v string) types.Tag { return types.Tag{Key: &k, Value: &v} }
	if d := c.describe(t, "s"); d.Tags != nil {
		t.Errorf("tags of a secret that never had one: %v", d.Tags)
	}
	must(c.TagResource(ctx, &sm.TagResourceInput{SecretId: id, Tags: []types.Tag{tag("b", "1"), tag("a", "")}}))(t)
	must(c.TagResource(ctx, &sm.TagResourceInput{SecretId: id, Tags: []types.Tag{tag("b", "2")}}))(t)
	var got []string
	for _, tag := range c.describe(t, "s").Tags {
		got = append(got, *tag.Key+"="+*tag.Value)
	}
	if !slices.Equal(got, []string{"a=", "b=2"}) {
		t.Errorf("tags %q", got)
	}
	must(c.UntagResource(ctx, &sm.UntagResourceInput{SecretId: id, TagKeys: []string{"a", "none"}}))(t)
	must(c.UntagResource(ctx, &sm.UntagResourceInput{SecretId: id, TagKeys: []string{"b"}}))(t)
	if d := c.describe(t, "s"); d.Tags == nil || len(d.Tags) != 0 {
		t.Errorf("tags of a secret that had some: %#v", d.Tags)
	}
	var many []types.Tag
	for i := range 51 {
		many = append(many, tag(strings.Repeat("k", i+1), ""))
	}
	want(t, errOf(c.TagResource(ctx, &sm.TagResourceInput{SecretId: id, Tags: many})), "LimitExceededException", "")
	want(t, errOf(c.TagResource(ctx, &sm.TagResourceInput{SecretId: id, Tags: []types.Tag{tag("a", "1"), tag("a", "2")}})), "InvalidParameterException", "")
	want(t, errOf(c.TagResource(ctx, &sm.TagResourceInput{SecretId: aws.String("none"), Tags: []types.Tag{tag("a", "1")}})), "ResourceNotFoundException", notFound)
	want(t, errOf(c.UntagResource(ctx, &sm.UntagResourceInput{SecretId: aws.String("none"), TagKeys: []string{"a"}})), "ResourceNotFoundException", notFound)
	must(c.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: id}))(t)
	want(t, errOf(c.TagResource(ctx, &sm.TagResourceInput{SecretId: id, Tags: []types.Tag{tag("a", "1")}})), "InvalidRequestException", markedFor)
}

func TestDeleteAndRestore(t *testing.T) {
	c := newService(t).tenant("acme")
	made := c.create(t, "s", "1")
	id := aws.String("s")
	out := must(c.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: id, RecoveryWindowInDays: aws.Int64(7)}))(t)
	if *out.ARN != *made.ARN || time.Until(*out.DeletionDate) < 6*24*time.Hour || time.Until(*out.DeletionDate) > 8*24*time.Hour {
		t.Errorf("deleted %+v", out)
	}
	if d := c.describe(t, "s"); d.DeletedDate == nil {
		t.Errorf("described %+v", d)
	}
	for name, err := range map[string]error{
		"get":    errOf(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: id})),
		"put":    errOf(c.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: id, SecretString: id})),
		"update": errOf(c.UpdateSecret(ctx, &sm.UpdateSecretInput{SecretId: id, Description: id})),
		"value":  errOf(c.UpdateSecret(ctx, &sm.UpdateSecretInput{SecretId: id, SecretString: id})),
		"stage":  errOf(c.UpdateSecretVersionStage(ctx, &sm.UpdateSecretVersionStageInput{SecretId: id, VersionStage: id, MoveToVersionId: made.VersionId})),
		"rotate": errOf(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: id})),
		"policy": errOf(c.GetResourcePolicy(ctx, &sm.GetResourcePolicyInput{SecretId: id})),
	} {
		t.Run(name, func(t *testing.T) { want(t, err, "InvalidRequestException", markedFor) })
	}
	want(t, errOf(c.CreateSecret(ctx, &sm.CreateSecretInput{Name: id, SecretString: id})), "InvalidRequestException",
		"You can't create this secret because a secret with this name is already scheduled for deletion.")
	want(t, errOf(c.CreateSecret(ctx, &sm.CreateSecretInput{Name: id})), "InvalidRequestException",
		"You can't create this secret because a secret with this name is already scheduled for deletion.")
	want(t, errOf(c.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: id})), "InvalidRequestException", "")
	restored := must(c.RestoreSecret(ctx, &sm.RestoreSecretInput{SecretId: made.ARN}))(t)
	if *restored.ARN != *made.ARN {
		t.Errorf("restored %+v", restored)
	}
	must(c.RestoreSecret(ctx, &sm.RestoreSecretInput{SecretId: id}))(t)
	c.read(t, &sm.GetSecretValueInput{SecretId: id}, "1")
	if d := c.describe(t, "s"); d.DeletedDate != nil {
		t.Errorf("described %+v", d)
	}
	want(t, errOf(c.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: aws.String("none")})), "ResourceNotFoundException", notFound)
	want(t, errOf(c.RestoreSecret(ctx, &sm.RestoreSecretInput{SecretId: aws.String("none")})), "ResourceNotFoundException", notFound)
	for _, days := range []int64{0, 6, 31} {
		want(t, errOf(c.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: id, RecoveryWindowInDays: &days})), "InvalidParameterException",
			"The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
	}
	want(t, errOf(c.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: id, RecoveryWindowInDays: aws.Int64(7), ForceDeleteWithoutRecovery: aws.Bool(true)})),
		"InvalidParameterException", "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
}

func TestForcedDeletion(t *testing.T) {
	c := newService(t).tenant("acme")
	made := c.create(t, "s", "1")
	force := func(id string) *sm.DeleteSecretOutput {
		t.Helper()
		return must(c.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: &id, ForceDeleteWithoutRecovery: aws.Bool(true)}))(t)
	}
	if out := force("s"); *out.ARN != *made.ARN || *out.Name != "s" || time.Since(*out.DeletionDate).Abs() > time.Minute {
		t.Errorf("deleted %+v", out)
	}
	want(t, errOf(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String("s")})), "ResourceNotFoundException", notFound)
	if out := force("none"); *out.Name != "none" || out.DeletionDate == nil {
		t.Errorf("deleted %+v", out)
	}
	again := c.create(t, "s", "2")
	if *again.ARN == *made.ARN {
		t.Error("another secret has the same ARN")
	}
	// The old ARN is not the new secret's.
	want(t, errOf(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: made.ARN})), "ResourceNotFoundException", notFound)
	force(*made.ARN)
	c.read(t, &sm.GetSecretValueInput{SecretId: again.ARN}, "2")
	must(c.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: again.ARN}))(t)
	force("s")
	c.create(t, "s", "3")
}

func TestVersionStages(t *testing.T) {
	c := newService(t).tenant("acme")
	one := c.create(t, "s", "1").VersionId
	two := c.put(t, "s", "2").VersionId
	three := c.put(t, "s", "3", "AWSPENDING").VersionId
	id := aws.String("s")
	move := func(stage string, from, to *string) error {
		return errOf(c.UpdateSecretVersionStage(ctx, &sm.UpdateSecretVersionStageInput{SecretId: id, VersionStage: &stage, RemoveFromVersionId: from, MoveToVersionId: to}))
	}
	want(t, move("AWSCURRENT", nil, three), "InvalidParameterException", "The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version "+
		*two+", so you must explicitly reference that version in RemoveFromVersionId.")
	want(t, move("AWSCURRENT", one, three), "InvalidParameterException", "")
	want(t, move("AWSCURRENT", two, nil), "InvalidParameterException", "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.")
	want(t, move("blue", one, nil), "InvalidParameterException", "Staging label blue is not attached to version "+*one+".")
	want(t, move("blue", nil, nil), "InvalidParameterException", "")
	want(t, move("blue", nil, aws.String(tokenA)), "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: "+tokenA)
	want(t, move(strings.Repeat("x", 257), nil, one), "ValidationException", "")
	if err := move("AWSCURRENT", two, three); err != nil {
		t.Fatal(err)
	}
	wantStages := func(want map[string][]string) {
		t.Helper()
		if diff := cmp.Diff(want, c.describe(t, "s").VersionIdsToStages); diff != "" {
			t.Errorf("stages (-want +got):\n%s", diff)
		}
	}
	wantStages(map[string][]string{*two: {"AWSPREVIOUS"}, *three: {"AWSCURRENT", "AWSPENDING"}})
	for _, err := range []error{move("AWSPENDING", three, nil), move("blue", nil, one), move("blue", one, two)} {
		if err != nil {
			t.Error(err)
		}
	}
	wantStages(map[string][]string{*two: {"AWSPREVIOUS", "blue"}, *three: {"AWSCURRENT"}})
	if err := move("blue", two, nil); err != nil {
		t.Error(err)
	}

	list := func(deprecated bool) (out []types.SecretVersionsListEntry) {
		t.Helper()
		in := &sm.ListSecretVersionIdsInput{SecretId: id, MaxResults: aws.Int32(1), IncludeDeprecated: &deprecated}
		for {
			page := must(c.ListSecretVersionIds(ctx, in))(t)
			if !strings.HasPrefix(*page.ARN, "arn:aws:") || *page.Name != "s" {
				t.Errorf("listed %+v", page)
			}
			out = append(out, page.Versions...)
			if in.NextToken = page.NextToken; page.NextToken == nil {
				return out
			}
			if *page.NextToken == "" {
				t.Fatal("an empty NextToken")
			}
		}
	}
	if got := list(false); len(got) != 2 || *got[0].VersionId != *two || !slices.Equal(got[0].KmsKeyIds, []string{"DefaultEncryptionKey"}) {
		t.Errorf("listed %+v", got)
	}
	if got := list(true); len(got) != 3 || *got[0].VersionId != *one || got[0].VersionStages != nil || got[0].LastAccessedDate != nil {
		t.Errorf("listed %+v", got)
	}
	want(t, errOf(c.ListSecretVersionIds(ctx, &sm.ListSecretVersionIdsInput{SecretId: id, NextToken: id})), "InvalidNextTokenException", "")
	want(t, errOf(c.ListSecretVersionIds(ctx, &sm.ListSecretVersionIdsInput{SecretId: id, MaxResults: aws.Int32(101)})), "ValidationException", "")
	want(t, errOf(c.ListSecretVersionIds(ctx, &sm.ListSecretVersionIdsInput{SecretId: aws.String("none")})), "ResourceNotFoundException", notFound)
}

func TestListSecrets(t *testing.T) {
	s := newService(t)
	c := s.tenant("acme")
	for _, n := range []string{"b", "a", "d", "c"} {
		c.create(t, n, "x")
	}
	must(c.UpdateSecret(ctx, &sm.UpdateSecretInput{SecretId: aws.String("b"), Description: aws.String("The First one")}))(t)
	must(c.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: aws.String("d")}))(t)
	list := func(in sm.ListSecretsInput) (names []string) {
		t.Helper()
		for {
			page := must(c.ListSecrets(ctx, &in))(t)
			for _, e := range page.SecretList {
				names = append(names, *e.Name)
			}
			if in.NextToken = page.NextToken; page.NextToken == nil {
				return names
			}
		}
	}
	for _, size := range []*int32{nil, aws.Int32(1), aws.Int32(2)} {
		for _, test := range []struct {
			in   sm.ListSecretsInput
			want string
		}{
			{sm.ListSecretsInput{}, "b a c"},
			{sm.ListSecretsInput{IncludePlannedDeletion: aws.Bool(true)}, "b a d c"},
			{sm.ListSecretsInput{SortOrder: types.SortOrderTypeDesc}, "c a b"},
			{sm.ListSecretsInput{SortBy: types.SortByTypeName}, "a b c"},
			{sm.ListSecretsInput{SortBy: types.SortByTypeLastChangedDate}, "a c b"},
			{sm.ListSecretsInput{Filters: []types.Filter{{Key: "name", Values: []string{"!b"}}}}, "a c"},
			{sm.ListSecretsInput{Filters: []types.Filter{{Key: "all", Values: []string{"first ONE"}}}}, "b"},
		} {
			test.in.MaxResults = size
			if got := strings.Join(list(test.in), " "); got != test.want {
				t.Errorf("%+v: %s, want %s", test.in, got, test.want)
			}
		}
	}
	page := must(c.ListSecrets(ctx, &sm.ListSecretsInput{MaxResults: aws.Int32(1)}))(t)
	want(t, errOf(c.ListSecrets(ctx, &sm.ListSecretsInput{NextToken: page.NextToken, SortOrder: types.SortOrderTypeDesc})), "InvalidNextTokenException", "")
	want(t, errOf(c.ListSecrets(ctx, &sm.ListSecretsInput{NextToken: aws.String("x")})), "InvalidNextTokenException", "")
	want(t, errOf(s.tenant("beta").ListSecrets(ctx, &sm.ListSecretsInput{NextToken: page.NextToken})), "InvalidNextTokenException", "")
	want(t, errOf(c.ListSecrets(ctx, &sm.ListSecretsInput{MaxResults: aws.Int32(0)})), "ValidationException", "")
	want(t, errOf(c.ListSecrets(ctx, &sm.ListSecretsInput{SortBy: "colour"})), "ValidationException", "")
	want(t, errOf(c.ListSecrets(ctx, &sm.ListSecretsInput{SortOrder: "up"})), "ValidationException", "")
	want(t, errOf(c.ListSecrets(ctx, &sm.ListSecretsInput{Filters: []types.Filter{{Key: "colour", Values: []string{"x"}}}})), "ValidationException", "")
}

func TestBatch(t *testing.T) {
	s := newService(t)
	c := s.tenant("acme")
	made := c.create(t, "a", "1")
	c.create(t, "b", "2")
	must(c.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("bin"), SecretBinary: []byte{1}}))(t)
	must(c.CreateSecret(ctx, &sm.CreateSecretInput{Name: aws.String("bare")}))(t)
	out := must(c.BatchGetSecretValue(ctx, &sm.BatchGetSecretValueInput{SecretIdList: []string{*made.ARN, "none", "bin", "bare"}}))(t)
	if len(out.SecretValues) != 2 || *out.SecretValues[0].SecretString != "1" || !bytes.Equal(out.SecretValues[1].SecretBinary, []byte{1}) ||
		len(out.Errors) != 2 || *out.Errors[0].SecretId != "none" || *out.Errors[0].ErrorCode != "ResourceNotFoundException" || *out.Errors[0].Message != notFound ||
		*out.Errors[1].SecretId != "bare" || *out.Errors[1].Message != "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT" {
		t.Errorf("%+v", out)
	}
	var values []string
	in := &sm.BatchGetSecretValueInput{Filters: []types.Filter{{Key: "name", Values: []string{"a", "b"}}}, MaxResults: aws.Int32(1)}
	for range 10 {
		page := must(c.BatchGetSecretValue(ctx, in))(t)
		for _, v := range page.SecretValues {
			values = append(values, *v.Name)
		}
		if in.NextToken = page.NextToken; page.NextToken == nil {
			break
		}
	}
	if strings.Join(values, " ") != "a b bin" {
		t.Errorf("%q", values)
	}
	want(t, errOf(c.BatchGetSecretValue(ctx, &sm.BatchGetSecretValueInput{})), "InvalidParameterException", "Either 'SecretIdList' or 'Filters' must be provided, but not both.")
	want(t, errOf(c.BatchGetSecretValue(ctx, &sm.BatchGetSecretValueInput{SecretIdList: []string{"a"}, MaxResults: aws.Int32(1)})), "InvalidParameterException", "")
	want(t, errOf(c.BatchGetSecretValue(ctx, &sm.BatchGetSecretValueInput{SecretIdList: slices.Repeat([]string{"a"}, 21)})), "ValidationException", "")
	want(t, errOf(c.BatchGetSecretValue(ctx, &sm.BatchGetSecretValueInput{SecretIdList: []string{"a b"}})), "ValidationException", invalidName)
}

func TestRandomPassword(t *testing.T) {
	c := newService(t).tenant("acme")
	if out := must(c.GetRandomPassword(ctx, &sm.GetRandomPasswordInput{}))(t); len(*out.RandomPassword) != 32 {
		t.Errorf("%d characters", len(*out.RandomPassword))
	}
	out := must(c.GetRandomPassword(ctx, &sm.GetRandomPasswordInput{PasswordLength: aws.Int64(100), ExcludeLowercase: aws.Bool(true),
		ExcludeUppercase: aws.Bool(true), ExcludePunctuation: aws.Bool(true), ExcludeCharacters: aws.String("13579")}))(t)
	if strings.Trim(*out.RandomPassword, "02468") != "" || len(*out.RandomPassword) != 100 {
		t.Errorf("%q", *out.RandomPassword)
	}
	want(t, errOf(c.GetRandomPassword(ctx, &sm.GetRandomPasswordInput{PasswordLength: aws.Int64(3)})), "InvalidParameterException", "Password length is too short based on the required types.")
	want(t, errOf(c.GetRandomPassword(ctx, &sm.GetRandomPasswordInput{PasswordLength: aws.Int64(5000)})), "ValidationException", "")
}

func TestRotation(t *testing.T) {
	c := newService(t).tenant("acme")
	c.create(t, "s", "1")
	id := aws.String("s")
	want(t, errOf(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: id})), "InvalidRequestException", "No Lambda rotation function ARN is associated with this secret.")
	rules := &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30), Duration: aws.String("3h")}
	function := aws.String("arn:aws:lambda:us-east-1:123456789012:function:f")
	want(t, errOf(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: id, RotationLambdaARN: function, RotationRules: rules})), "AccessDeniedException", "")
	d := c.describe(t, "s")
	if !*d.RotationEnabled || *d.RotationLambdaARN != *function || *d.RotationRules.AutomaticallyAfterDays != 30 || *d.RotationRules.Duration != "3h" {
		t.Errorf("described %+v", d)
	}
	must(c.CancelRotateSecret(ctx, &sm.CancelRotateSecretInput{SecretId: id}))(t)
	if d := c.describe(t, "s"); *d.RotationEnabled || *d.RotationLambdaARN != *function {
		t.Errorf("described %+v", d)
	}
	for _, bad := range []types.RotationRulesType{
		{AutomaticallyAfterDays: aws.Int64(0)}, {AutomaticallyAfterDays: aws.Int64(1001)}, {Duration: aws.String("3d")},
		{ScheduleExpression: aws.String("daily")}, {AutomaticallyAfterDays: aws.Int64(1), ScheduleExpression: aws.String("rate(1 day)")},
	} {
		err := errOf(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: id, RotationRules: &bad}))
		if err == nil || strings.Contains(err.Error(), "AccessDenied") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	want(t, errOf(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: aws.String("none")})), "ResourceNotFoundException", notFound)
	want(t, errOf(c.CancelRotateSecret(ctx, &sm.CancelRotateSecretInput{SecretId: aws.String("none")})), "ResourceNotFoundException", notFound)
}

func TestOtherTenant(t *testing.T) {
	s := newService(t)
	acme, beta := s.tenant("acme"), s.tenant("beta")
	made := acme.create(t, "s", "1")
	for _, id := range []string{*made.ARN, "s", "arn:aws:secretsmanager:us-east-1:" + acme.account + ":secret:none-AbCdEf"} {
		want(t, errOf(beta.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: &id})), "ResourceNotFoundException", notFound)
		want(t, errOf(beta.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: &id})), "ResourceNotFoundException", notFound)
		want(t, errOf(beta.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: &id})), "ResourceNotFoundException", notFound)
	}
	// A secret of the same name does not answer to the other's ARN.
	beta.create(t, "s", "2")
	want(t, errOf(beta.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: made.ARN})), "ResourceNotFoundException", notFound)
	acme.read(t, &sm.GetSecretValueInput{SecretId: made.ARN}, "1")
}

func tagsOf(key, value string) []types.Tag { return []types.Tag{{Key: &key, Value: &value}} }
