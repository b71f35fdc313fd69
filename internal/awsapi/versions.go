package awsapi

import (
	"errors"
	"fmt"

	"fastness/internal/secret"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

// maxResults is the longest page of ListSecrets and ListSecretVersionIds, and
// the one that is given when a client does not say.
const maxResults = 100

func pageSize(member string, n *int64, most int) (int, error) {
	if n == nil {
		return most, nil
	}
	if *n < 1 || *n > int64(most) {
		return 0, validation(member, fmt.Sprintf("Member must have value between 1 and %d, inclusive", most))
	}
	return int(*n), nil
}

type listVersionsRequest struct {
	SecretID          string `json:"SecretId"`
	MaxResults        *int64 `json:"MaxResults"`
	Next              string `json:"NextToken"`
	IncludeDeprecated bool   `json:"IncludeDeprecated"`
}

// listedVersion is what is told of a version.
type listedVersion struct {
	VersionID        secret.VersionID `json:"VersionId"`
	VersionStages    []string         `json:"VersionStages,omitempty"`
	LastAccessedDate epoch            `json:"LastAccessedDate,omitzero"`
	CreatedDate      epoch            `json:"CreatedDate"`
	KmsKeyIDs        []string         `json:"KmsKeyIds"`
}

// listSecretVersionIDs leaves versions without a label out of a page, which is
// then short, unless they are asked for.
func listSecretVersionIDs(c *call, in *listVersionsRequest) error {
	limit, err := pageSize("maxResults", in.MaxResults, maxResults)
	if err != nil {
		return reject(err)
	}
	session, err := c.onID(in.SecretID)
	if err != nil {
		return err
	}
	page, err := session.Versions(c.context(), c.secret, limit, in.Next)
	if err != nil {
		return err
	}
	key := "DefaultEncryptionKey"
	if c.row.AWS.KMSKeyID != "" {
		key = c.row.AWS.KMSKeyID
	}
	versions := []listedVersion{}
	for _, v := range page.Items {
		if len(v.Labels) > 0 || in.IncludeDeprecated {
			versions = append(versions, listedVersion{v.ID, wire.StagesOf(v.Labels), epoch(v.LastRead), epoch(v.Created), []string{key}})
		}
	}
	return c.reply(struct {
		Versions []listedVersion `json:"Versions"`
		Next     string          `json:"NextToken,omitzero"`
		identity
	}{versions, page.Next, c.identify(c.row.Name, c.row.ID)})
}

type restageRequest struct {
	SecretID            string `json:"SecretId"`
	VersionStage        string `json:"VersionStage"`
	RemoveFromVersionID string `json:"RemoveFromVersionId"`
	MoveToVersionID     string `json:"MoveToVersionId"`
}

func updateSecretVersionStage(c *call, in *restageRequest) error {
	if in.VersionStage == "" {
		return reject(validation("versionStage", "Member must not be null"))
	}
	session, err := c.onID(in.SecretID)
	if err != nil {
		return err
	}
	move, err := in.move()
	if err != nil {
		return reject(err)
	}
	c.key("secretsmanager:versionstage", in.VersionStage)
	d, err := session.Restage(c.context(), c.secret, move)
	if err != nil {
		return c.notMoved(in, err)
	}
	return c.reply(c.identify(d.Name, d.ID))
}

func (in *restageRequest) move() (m vault.Restage, err error) {
	if m.Label, err = parseStage(in.VersionStage); err != nil {
		return m, err
	}
	for _, id := range []struct {
		member, text string
		to           *secret.VersionID
	}{{"removeFromVersionId", in.RemoveFromVersionID, &m.From}, {"moveToVersionId", in.MoveToVersionID, &m.To}} {
		if id.text == "" {
			continue
		}
		if *id.to, err = secret.ParseVersionID(id.text); err != nil {
			return m, validation(id.member, fmt.Sprintf("Member must have length between %d and %d, inclusive", secret.MinRequestToken, secret.MaxRequestToken))
		}
	}
	if m.From == "" && m.To == "" {
		return m, invalidParameter("You must specify at least one of the parameters RemoveFromVersionId and MoveToVersionId.")
	}
	return m, nil
}

// notMoved words the vault's refusals of a move.
func (c *call) notMoved(in *restageRequest, err error) error {
	var at *vault.LabelPlace
	switch e := secret.Of(err); {
	case c.row == nil:
		return err
	case errors.As(err, &at) && at.ID == "":
		return &fault{typeInvalidParameter, fmt.Sprintf("Staging label %s is not attached to version %s.", in.VersionStage, in.RemoveFromVersionID), err}
	case errors.As(err, &at) && in.RemoveFromVersionID == "":
		return &fault{typeInvalidParameter, fmt.Sprintf("The parameter RemoveFromVersionId can't be empty. Staging label %s is currently attached to version %s, so you must explicitly reference that version in RemoveFromVersionId.", in.VersionStage, at.ID), err}
	case errors.As(err, &at):
		return &fault{typeInvalidParameter, fmt.Sprintf("Staging label %s is currently attached to version %s, not to the version in RemoveFromVersionId.", in.VersionStage, at.ID), err}
	case errors.Is(e, secret.ErrInvalid) && in.VersionStage == string(secret.Current):
		return &fault{typeInvalidParameter, "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.", err}
	case errors.Is(e, secret.ErrNotFound):
		id := in.MoveToVersionID
		if id == "" {
			id = in.RemoveFromVersionID
		}
		return &fault{typeNotFound, "Secrets Manager can't find the specified secret value for VersionId: " + id, err}
	}
	return err
}
