package awsapi

import (
	"errors"
	"fmt"
	"slices"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// replicaRegion is a region to replicate to.
type replicaRegion struct {
	Region   string `json:"Region"`
	KmsKeyID string `json:"KmsKeyId"`
}

// noRegion is the error for a region that the deployment does not have.
func (c *call) noRegion(region string) error {
	return invalidParameter(fmt.Sprintf("The Region %s is not available in this deployment.", region))
}

// statuses are a secret's replicas in the protocol's form; nil if it has none.
func statuses(replicas []secret.AWSReplica) (out []replicaStatus) {
	for _, r := range replicas {
		s := replicaStatus{Region: r.Region, KmsKeyID: r.KMSKeyID, Status: "InSync"}
		if r.Failure != "" {
			s.Status, s.StatusMessage = "Failed", r.Failure
		}
		out = append(out, s)
	}
	return out
}

// replicas are those that are there and those that are to be added. A region
// in which the name is taken gets one that has failed, unless force clears it.
func (c *call) replicas(there []secret.AWSReplica, add []replicaRegion, force bool) ([]secret.AWSReplica, error) {
	out := slices.Clone(there)
	for _, r := range add {
		switch {
		case !slices.Contains(c.api.regions, r.Region):
			return nil, c.noRegion(r.Region)
		case r.Region == c.region:
			return nil, invalidParameter("Invalid replica region.")
		case len(r.KmsKeyID) > maxKmsKeyID:
			return nil, validation("addReplicaRegions.member.kmsKeyId", "Member must have length less than or equal to 2048")
		}
		failure, err := c.clear(r.Region, force)
		if err != nil {
			return nil, err
		}
		out = slices.DeleteFunc(out, func(old secret.AWSReplica) bool { return old.Region == r.Region })
		out = append(out, secret.AWSReplica{Region: r.Region, KMSKeyID: r.KmsKeyID, Failure: failure})
	}
	return out, nil
}

// clear tells why the secret's name is not free in a region; empty if it is. With
// force it deletes what is at home there.
func (c *call) clear(region string, force bool) (failure string, err error) {
	there := *c
	there.region = region
	name, err := stored(c.shown, there.home())
	if err != nil {
		return "", errSecretName
	}
	taken := false
	if _, err = c.session().Locate(c.context(), []secret.Name{name}, func(sec *store.Secret) bool {
		taken = c.api.homeOf(sec.AWS) == region
		return taken
	}); err != nil || !taken {
		return "", err
	}
	if !force {
		return fmt.Sprintf("Replication failed: Secret name %s already exists in region %s.", c.shown, region), nil
	}
	err = c.session().Purge(c.context(), name)
	if errors.Is(err, secret.ErrNotFound) {
		err = nil // gone meanwhile
	}
	return "", err
}

type replicateRequest struct {
	SecretID          string          `json:"SecretId"`
	AddReplicaRegions []replicaRegion `json:"AddReplicaRegions"`
	ForceOverwrite    bool            `json:"ForceOverwriteReplicaSecret"`
}

func replicateSecretToRegions(c *call, in *replicateRequest) error {
	session, err := c.onID(in.SecretID)
	if err != nil {
		return err
	}
	if len(in.AddReplicaRegions) == 0 {
		return reject(validation("addReplicaRegions", "Member must have length greater than or equal to 1"))
	}
	// Whether the secret is there, and the caller may, comes before its regions.
	if _, err := session.Detail(c.context(), c.secret); err != nil {
		return err
	}
	added, err := c.replicas(nil, in.AddReplicaRegions, in.ForceOverwrite)
	if err != nil {
		return reject(err)
	}
	return c.setReplicas(session, func(there []secret.AWSReplica) ([]secret.AWSReplica, error) {
		for _, r := range added {
			there = slices.DeleteFunc(there, func(old secret.AWSReplica) bool { return old.Region == r.Region })
		}
		return append(there, added...), nil
	})
}

type removeRegionsRequest struct {
	SecretID             string   `json:"SecretId"`
	RemoveReplicaRegions []string `json:"RemoveReplicaRegions"`
}

func removeRegionsFromReplication(c *call, in *removeRegionsRequest) error {
	session, err := c.onID(in.SecretID)
	if err != nil {
		return err
	}
	if len(in.RemoveReplicaRegions) == 0 {
		return reject(validation("removeReplicaRegions", "Member must have length greater than or equal to 1"))
	}
	return c.setReplicas(session, func(there []secret.AWSReplica) ([]secret.AWSReplica, error) {
		for _, region := range in.RemoveReplicaRegions {
			i := slices.IndexFunc(there, func(r secret.AWSReplica) bool { return r.Region == region })
			if i < 0 {
				return nil, secret.ErrInvalid.With(invalidParameter(fmt.Sprintf("The secret has no replica in Region %s.", region)))
			}
			there = slices.Delete(there, i, i+1)
		}
		return there, nil
	})
}

func (c *call) setReplicas(session *vault.Session, change func([]secret.AWSReplica) ([]secret.AWSReplica, error)) error {
	d, err := session.Amend(c.context(), c.secret, vault.Amendment{Audit: audit.Update, Action: policy.Update,
		Change: func(_ *secret.Metadata, a *secret.AWS) (err error) {
			a.Replicas, err = change(a.Replicas)
			return err
		}})
	if err != nil {
		return err
	}
	status := statuses(d.AWS.Replicas)
	if status == nil {
		status = []replicaStatus{}
	}
	return c.reply(struct {
		ARN               string          `json:"ARN"`
		ReplicationStatus []replicaStatus `json:"ReplicationStatus"`
	}{c.arnOf(d.Name, d.ID, d.AWS), status})
}

// stopReplicationToReplica makes a secret of its own of the replica in the
// request's region, under the ARN that the replica had.
func stopReplicationToReplica(c *call, in *idRequest) error {
	session, err := c.onID(in.SecretID)
	if err != nil {
		return err
	}
	d, err := session.Detail(c.context(), c.secret)
	if err != nil {
		return err
	}
	if c.viewOf(d.AWS) == nil || c.api.homeOf(d.AWS) == c.region {
		return reject(invalidRequest("Operation not permitted: the secret is not a replica."))
	}
	to, err := stored(c.shown, c.home())
	if err != nil {
		return reject(errSecretName)
	}
	made, err := session.Promote(c.context(), c.secret, vault.Promotion{To: to, Change: func(from, made *secret.AWS) error {
		view := c.viewOf(*from)
		if view == nil {
			return secret.ErrNotFound // the replica was removed meanwhile
		}
		made.Suffix, made.Home, made.KMSKeyID, made.Replicas = suffixOf(d.ID, *from), c.home(), view.KMSKeyID, nil
		made.Rotation = secret.AWSRotation{}
		from.Replicas = slices.DeleteFunc(from.Replicas, func(r secret.AWSReplica) bool { return r.Region == c.region })
		return nil
	}})
	if err != nil {
		return err
	}
	return c.reply(struct {
		ARN string `json:"ARN"`
	}{c.arnOf(made.Name, made.ID, made.AWS)})
}
