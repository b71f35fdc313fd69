package awsapi

import "fmt"

// replicaRegion is a region to replicate to.
type replicaRegion struct {
	Region   string `json:"Region"`
	KmsKeyID string `json:"KmsKeyId"`
}

// noRegion is the error for a region that the deployment does not have.
func (c *call) noRegion(region string) error {
	return invalidParameter(fmt.Sprintf("The Region %s is not available in this deployment.", region))
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
	if _, err := session.Detail(c.context(), c.secret); err != nil {
		return err
	}
	return reject(c.noRegion(in.AddReplicaRegions[0].Region))
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
	if _, err := session.Detail(c.context(), c.secret); err != nil {
		return err
	}
	return reject(invalidParameter(fmt.Sprintf("The secret has no replica in Region %s.", in.RemoveReplicaRegions[0])))
}

func stopReplicationToReplica(c *call, in *idRequest) error {
	session, err := c.onID(in.SecretID)
	if err != nil {
		return err
	}
	if _, err := session.Detail(c.context(), c.secret); err != nil {
		return err
	}
	return reject(invalidRequest("Operation not permitted: the secret is not a replica."))
}
