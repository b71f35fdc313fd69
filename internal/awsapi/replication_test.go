package awsapi_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

const onReplica = "Operation not permitted on a replica secret. Call must be made in primary secret's region."

func (c *client) replicate(tb testing.TB, name, region string, force bool) *sm.ReplicateSecretToRegionsOutput {
	tb.Helper()
	return must(c.ReplicateSecretToRegions(ctx, &sm.ReplicateSecretToRegionsInput{SecretId: &name, ForceOverwriteReplicaSecret: force,
		AddReplicaRegions: []types.ReplicaRegionType{{Region: &region, KmsKeyId: aws.String("k-" + region)}}}))(tb)
}

func (c *client) names(tb testing.TB) (names []string) {
	tb.Helper()
	for _, e := range must(c.ListSecrets(ctx, &sm.ListSecretsInput{}))(tb).SecretList {
		names = append(names, *e.Name)
	}
	return names
}

func inRegion(arn, region string) string { return strings.Replace(arn, "us-east-1", region, 1) }

// TestReplication: a replica has an ARN of its own, is always in step, and is
// read-only.
func TestReplication(t *testing.T) {
	s := newService(t, "eu-west-1", "ap-south-1")
	us := s.tenant("acme")
	eu, ap := us.in(s, "eu-west-1"), us.in(s, "ap-south-1")
	id := aws.String("s")
	made := must(us.CreateSecret(ctx, &sm.CreateSecretInput{Name: id, SecretString: aws.String("1"), AddReplicaRegions: []types.ReplicaRegionType{{Region: aws.String("eu-west-1")}}}))(t)
	if len(made.ReplicationStatus) != 1 || made.ReplicationStatus[0].Status != types.StatusTypeInSync || *made.ReplicationStatus[0].Region != "eu-west-1" {
		t.Errorf("made %+v", made)
	}
	us.create(t, "other", "x")
	us.put(t, "s", "2")
	replica := inRegion(*made.ARN, "eu-west-1")
	for _, at := range []string{"s", replica, replica[:len(replica)-7]} {
		if out := eu.read(t, &sm.GetSecretValueInput{SecretId: &at}, "2"); *out.ARN != replica || *out.Name != "s" {
			t.Errorf("read %+v", out)
		}
	}
	eu.read(t, &sm.GetSecretValueInput{SecretId: id, VersionStage: aws.String("AWSPREVIOUS")}, "1")
	want(t, errOf(eu.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: made.ARN})), "ResourceNotFoundException", notFound)
	want(t, errOf(ap.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: id})), "ResourceNotFoundException", notFound)
	want(t, errOf(eu.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String("other")})), "ResourceNotFoundException", notFound)
	if got := eu.names(t); !slices.Equal(got, []string{"s"}) {
		t.Errorf("listed in eu-west-1: %q", got)
	}
	batch := must(eu.BatchGetSecretValue(ctx, &sm.BatchGetSecretValueInput{SecretIdList: []string{"s", "other"}}))(t)
	if len(batch.SecretValues) != 1 || *batch.SecretValues[0].ARN != replica || len(batch.Errors) != 1 || *batch.Errors[0].Message != notFound {
		t.Errorf("batch %+v", batch)
	}

	us.replicate(t, "s", "ap-south-1", false)
	d := us.describe(t, "s")
	if *d.PrimaryRegion != "us-east-1" || len(d.ReplicationStatus) != 2 || *d.ReplicationStatus[1].KmsKeyId != "k-ap-south-1" {
		t.Errorf("described %+v", d)
	}
	if d := ap.describe(t, "s"); *d.ARN != inRegion(*made.ARN, "ap-south-1") || *d.PrimaryRegion != "us-east-1" || *d.KmsKeyId != "k-ap-south-1" {
		t.Errorf("described %+v", d)
	}
	for name, err := range map[string]error{
		"put":       errOf(eu.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: id, SecretString: id})),
		"update":    errOf(eu.UpdateSecret(ctx, &sm.UpdateSecretInput{SecretId: id, Description: id})),
		"tag":       errOf(eu.TagResource(ctx, &sm.TagResourceInput{SecretId: id, Tags: tagsOf("a", "b")})),
		"delete":    errOf(eu.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: id})),
		"purge":     errOf(eu.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: id, ForceDeleteWithoutRecovery: aws.Bool(true)})),
		"rotate":    errOf(eu.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: id})),
		"replicate": errOf(eu.ReplicateSecretToRegions(ctx, &sm.ReplicateSecretToRegionsInput{SecretId: id, AddReplicaRegions: []types.ReplicaRegionType{{Region: aws.String("us-east-1")}}})),
	} {
		t.Run(name, func(t *testing.T) { want(t, err, "InvalidRequestException", onReplica) })
	}
	want(t, errOf(eu.CreateSecret(ctx, &sm.CreateSecretInput{Name: id, SecretString: id})), "ResourceExistsException", "")
	want(t, errOf(us.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: id})), "InvalidRequestException",
		"You can't delete secret s that still has replica regions [eu-west-1, ap-south-1].")
	want(t, errOf(us.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: id, ForceDeleteWithoutRecovery: aws.Bool(true)})), "InvalidRequestException", "")

	out := must(us.RemoveRegionsFromReplication(ctx, &sm.RemoveRegionsFromReplicationInput{SecretId: id, RemoveReplicaRegions: []string{"ap-south-1"}}))(t)
	if len(out.ReplicationStatus) != 1 || *out.ARN != *made.ARN {
		t.Errorf("removed %+v", out)
	}
	want(t, errOf(ap.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: id})), "ResourceNotFoundException", notFound)
	want(t, errOf(us.RemoveRegionsFromReplication(ctx, &sm.RemoveRegionsFromReplicationInput{SecretId: id, RemoveReplicaRegions: []string{"ap-south-1"}})), "InvalidParameterException", "")
	for _, region := range []string{"xx-none-1", "us-east-1"} {
		want(t, errOf(us.ReplicateSecretToRegions(ctx, &sm.ReplicateSecretToRegionsInput{SecretId: id, AddReplicaRegions: []types.ReplicaRegionType{{Region: &region}}})), "InvalidParameterException", "")
	}
}

// TestPromotion: a promoted replica keeps its ARN and its versions, and goes its
// own way.
func TestPromotion(t *testing.T) {
	s := newService(t, "eu-west-1")
	us := s.tenant("acme")
	eu := us.in(s, "eu-west-1")
	id := aws.String("s")
	made := us.create(t, "s", "1")
	us.put(t, "s", "2")
	want(t, errOf(us.StopReplicationToReplica(ctx, &sm.StopReplicationToReplicaInput{SecretId: id})), "InvalidRequestException", "")
	us.replicate(t, "s", "eu-west-1", false)
	want(t, errOf(us.StopReplicationToReplica(ctx, &sm.StopReplicationToReplicaInput{SecretId: id})), "InvalidRequestException", "")
	replica := inRegion(*made.ARN, "eu-west-1")
	out := must(eu.StopReplicationToReplica(ctx, &sm.StopReplicationToReplicaInput{SecretId: id}))(t)
	if *out.ARN != replica {
		t.Errorf("promoted %s, was %s", *out.ARN, replica)
	}
	want(t, errOf(eu.StopReplicationToReplica(ctx, &sm.StopReplicationToReplicaInput{SecretId: id})), "InvalidRequestException", "")
	eu.put(t, "s", "3")
	us.put(t, "s", "4")
	for _, at := range []*string{id, &replica} {
		eu.read(t, &sm.GetSecretValueInput{SecretId: at}, "3")
	}
	eu.read(t, &sm.GetSecretValueInput{SecretId: id, VersionStage: aws.String("AWSPREVIOUS")}, "2")
	us.read(t, &sm.GetSecretValueInput{SecretId: made.ARN}, "4")
	if d := us.describe(t, "s"); d.ReplicationStatus != nil || d.PrimaryRegion != nil {
		t.Errorf("described %+v", d)
	}
	if d := eu.describe(t, "s"); *d.ARN != replica || *d.Name != "s" || d.PrimaryRegion != nil || *d.KmsKeyId != "k-eu-west-1" {
		t.Errorf("described %+v", d)
	}
	if got := eu.names(t); !slices.Equal(got, []string{"s"}) {
		t.Errorf("listed in eu-west-1: %q", got)
	}
	if got := us.names(t); !slices.Equal(got, []string{"s"}) {
		t.Errorf("listed in us-east-1: %q", got)
	}
}

// TestRegions: a name is free in each region, and where it is taken replication
// fails unless it may overwrite.
func TestRegions(t *testing.T) {
	s := newService(t, "eu-west-1")
	us := s.tenant("acme")
	eu := us.in(s, "eu-west-1")
	id := aws.String("s")
	ours := us.create(t, "s", "us")
	theirs := eu.create(t, "s", "eu")
	if !strings.HasPrefix(*theirs.ARN, inRegion((*ours.ARN)[:len(*ours.ARN)-6], "eu-west-1")) || *theirs.Name != "s" {
		t.Errorf("made %+v", theirs)
	}
	want(t, errOf(eu.CreateSecret(ctx, &sm.CreateSecretInput{Name: id, SecretString: id})), "ResourceExistsException", "The operation failed because the secret s already exists.")
	us.read(t, &sm.GetSecretValueInput{SecretId: id}, "us")
	eu.read(t, &sm.GetSecretValueInput{SecretId: id}, "eu")
	want(t, errOf(us.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: aws.String("s@eu-west-1")})), "ResourceNotFoundException", notFound)
	if out := us.replicate(t, "s", "eu-west-1", false); out.ReplicationStatus[0].Status != types.StatusTypeFailed ||
		*out.ReplicationStatus[0].StatusMessage != "Replication failed: Secret name s already exists in region eu-west-1." {
		t.Errorf("replicated %+v", out)
	}
	eu.read(t, &sm.GetSecretValueInput{SecretId: id}, "eu")
	if out := us.replicate(t, "s", "eu-west-1", true); out.ReplicationStatus[0].Status != types.StatusTypeInSync {
		t.Errorf("replicated %+v", out)
	}
	eu.read(t, &sm.GetSecretValueInput{SecretId: id}, "us")
	// Replication goes from any region to any other.
	eu.create(t, "t", "eu")
	eu.replicate(t, "t", "us-east-1", false)
	us.read(t, &sm.GetSecretValueInput{SecretId: aws.String("t")}, "eu")
	want(t, errOf(us.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: aws.String("t"), SecretString: id})), "InvalidRequestException", onReplica)
	// A region that is not ours is the first.
	us.in(s, "sa-east-1").read(t, &sm.GetSecretValueInput{SecretId: id}, "us")
}
