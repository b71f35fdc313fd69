package awsapi

import (
	"fmt"

	"fastness/internal/audit"
	"fastness/internal/awsapi/iam"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
	"fastness/internal/vault"
)

type putPolicyRequest struct {
	SecretID          string `json:"SecretId"`
	ResourcePolicy    string `json:"ResourcePolicy"`
	BlockPublicPolicy *bool  `json:"BlockPublicPolicy"`
}

func checkPolicyText(text string) error {
	if len(text) < 1 || len(text) > iam.MaxPolicy {
		return validation("resourcePolicy", fmt.Sprintf("Member must have length between 1 and %d, inclusive", iam.MaxPolicy))
	}
	return nil
}

func putResourcePolicy(c *call, in *putPolicyRequest) error {
	session, err := c.onID(in.SecretID)
	if err != nil {
		return err
	}
	if err := checkPolicyText(in.ResourcePolicy); err != nil {
		return reject(err)
	}
	parsed, err := iam.Parse(in.ResourcePolicy)
	if err != nil || parsed.IsForeign() {
		return reject(&fault{typeMalformedPolicy, "This policy has invalid syntax.", err})
	}
	block := in.BlockPublicPolicy != nil && *in.BlockPublicPolicy
	if block && parsed.IsPublic() {
		return reject(&fault{Type: typePublicPolicy, Message: "You can't attach a resource policy that allows broad access to the secret while BlockPublicPolicy is set."})
	}
	c.key("secretsmanager:blockpublicpolicy", fmt.Sprint(block))
	return c.setPolicy(session, in.ResourcePolicy)
}

func deleteResourcePolicy(c *call, in *idRequest) error {
	session, err := c.onID(in.SecretID)
	if err != nil {
		return err
	}
	return c.setPolicy(session, "")
}

// setPolicy stores a resource policy, which is an administrator's to do; the
// empty one is none.
func (c *call) setPolicy(session *vault.Session, text string) error {
	d, err := session.Amend(c.context(), c.secret, vault.Amendment{Audit: audit.Update, Action: policy.SetAccess, Deleted: text == "",
		Change: func(_ *secret.Metadata, a *secret.AWS) error { a.Policy = text; return nil }})
	if err != nil {
		return err
	}
	return c.reply(c.identify(d.Name, d.ID))
}

func getResourcePolicy(c *call, in *idRequest) error {
	session, err := c.onID(in.SecretID)
	if err != nil {
		return err
	}
	d, err := session.Detail(c.context(), c.secret)
	if err != nil {
		return err
	}
	if !d.Deletion.IsZero() {
		return errDeleted
	}
	return c.reply(struct {
		identity
		ResourcePolicy string `json:"ResourcePolicy,omitzero"`
	}{c.identify(d.Name, d.ID), d.AWS.Policy})
}

type validatePolicyRequest struct {
	SecretID       string `json:"SecretId"`
	ResourcePolicy string `json:"ResourcePolicy"`
}

// validationError is one finding.
type validationError struct {
	CheckName    string `json:"CheckName"`
	ErrorMessage string `json:"ErrorMessage"`
}

func validateResourcePolicy(c *call, in *validatePolicyRequest) error {
	if err := checkPolicyText(in.ResourcePolicy); err != nil {
		return reject(err)
	}
	row := &store.Secret{Name: "any"}
	if in.SecretID != "" {
		session, err := c.onID(in.SecretID)
		if err != nil {
			return err
		}
		if _, err := session.Detail(c.context(), c.secret); err != nil {
			return err
		}
		row = c.row
	}
	errs := []validationError{}
	for _, f := range iam.Validate(in.ResourcePolicy, c.policyRequest(row)) {
		errs = append(errs, validationError{f.Check, f.Message})
	}
	return c.reply(struct {
		PolicyValidationPassed bool              `json:"PolicyValidationPassed"`
		ValidationErrors       []validationError `json:"ValidationErrors"`
	}{len(errs) == 0, errs})
}
