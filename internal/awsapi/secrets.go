package awsapi

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/vault"
)

// Limits of the protocol's model.
const (
	maxKmsKeyID = 2048
	maxType     = 256
)

type createRequest struct {
	Name              string          `json:"Name"`
	ClientRequestID   string          `json:"ClientRequestToken"`
	Description       *string         `json:"Description"`
	KmsKeyID          string          `json:"KmsKeyId"`
	Tags              []tag           `json:"Tags"`
	AddReplicaRegions []replicaRegion `json:"AddReplicaRegions"`
	ForceOverwrite    bool            `json:"ForceOverwriteReplicaSecret"`
	Type              string          `json:"Type"`
	carried

	replicas []secret.AWSReplica // what becomes of AddReplicaRegions
}

func createSecret(c *call, in *createRequest) error {
	token, err := requestToken(in.ClientRequestID)
	if err != nil {
		return reject(err)
	}
	if c.shown, err = secret.ParseName(in.Name); err != nil {
		return reject(errSecretName)
	}
	if c.secret, err = stored(c.shown, c.home()); err != nil {
		return reject(errSecretName)
	}
	if err := c.notReplica(); err != nil {
		return reject(err)
	}
	put, err := in.put(c)
	if err != nil {
		return reject(err)
	}
	put.Token, put.IfAbsent = token, true
	session := c.session().Guarded(func(sec *store.Secret) error { c.row = sec; return nil })
	var w vault.Written
	if put.Value == nil {
		w, err = session.CreateBare(c.context(), c.secret, vault.Bare{Patch: put.Patch, Amend: put.Amend})
	} else {
		defer put.Value.Release()
		w, err = session.Put(c.context(), c.secret, put)
	}
	switch {
	case errors.Is(err, secret.ErrDeleted):
		return &fault{typeInvalidRequest, "You can't create this secret because a secret with this name is already scheduled for deletion.", err}
	case err != nil:
		return c.tokenUsed(token, err)
	}
	return c.reply(struct {
		identity
		ReplicationStatus []replicaStatus `json:"ReplicationStatus,omitzero"`
	}{c.written(w), statuses(in.replicas)})
}

// put is the write that the request asks for, checked.
func (in *createRequest) put(c *call) (put vault.Put, err error) {
	if err := checkText(in.Description, in.KmsKeyID, in.Type); err != nil {
		return put, err
	}
	if put.Patch.Tags, err = tagMap(nil, in.Tags); err != nil {
		return put, err
	}
	if in.replicas, err = c.replicas(nil, in.AddReplicaRegions, in.ForceOverwrite); err != nil {
		return put, err
	}
	put.Patch.Description = in.Description
	kms, kind, tagged := in.KmsKeyID, in.Type, len(in.Tags) > 0
	home, replicas := c.home(), in.replicas
	put.Amend = func(a *secret.AWS) {
		a.KMSKeyID, a.Type, a.Tagged, a.Home, a.Replicas = kms, kind, tagged, home, replicas
	}
	put.Value, put.Kind, err = in.value()
	return put, err
}

func checkText(description *string, kms, kind string) error {
	switch {
	case description != nil && len([]rune(*description)) > secret.MaxDescription:
		return validation("description", "Member must have length less than or equal to 2048")
	case len(kms) > maxKmsKeyID:
		return validation("kmsKeyId", "Member must have length less than or equal to 2048")
	case len(kind) > maxType:
		return validation("type", "Member must have length less than or equal to 256")
	}
	return nil
}

type updateRequest struct {
	SecretID        string  `json:"SecretId"`
	ClientRequestID string  `json:"ClientRequestToken"`
	Description     *string `json:"Description"`
	KmsKeyID        *string `json:"KmsKeyId"`
	Type            *string `json:"Type"`
	carried
}

func updateSecret(c *call, in *updateRequest) error {
	token, err := requestToken(in.ClientRequestID)
	if err != nil {
		return reject(err)
	}
	session, err := c.onID(in.SecretID)
	if err != nil {
		return err
	}
	if err := checkText(in.Description, text(in.KmsKeyID), text(in.Type)); err != nil {
		return reject(err)
	}
	value, kind, err := in.value()
	if err != nil {
		return reject(err)
	}
	if value == nil {
		d, err := session.Amend(c.context(), c.secret, vault.Amendment{Audit: audit.Update, Action: policy.Update, Change: in.change})
		if err != nil {
			return err
		}
		return c.reply(c.identify(d.Name, d.ID))
	}
	defer value.Release()
	w, err := session.Put(c.context(), c.secret, vault.Put{
		Value: value, Kind: kind, Token: token, IfPresent: true, Amend: in.amend, Patch: secret.Patch{Description: in.Description},
	})
	if err != nil {
		return c.tokenUsed(token, err)
	}
	return c.reply(c.written(w))
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (in *updateRequest) amend(a *secret.AWS) {
	if in.KmsKeyID != nil {
		a.KMSKeyID = *in.KmsKeyID
	}
	if in.Type != nil {
		a.Type = *in.Type
	}
}

func (in *updateRequest) change(m *secret.Metadata, a *secret.AWS) error {
	if in.Description != nil {
		m.Description = *in.Description
	}
	in.amend(a)
	return nil
}

// idRequest is that of operations which want nothing but a secret.
type idRequest struct {
	SecretID string `json:"SecretId"`
}

func describeSecret(c *call, in *idRequest) error {
	session, err := c.onID(in.SecretID)
	if err != nil {
		return err
	}
	d, err := session.Detail(c.context(), c.secret)
	if err != nil {
		return err
	}
	out, err := c.describe(d)
	if err != nil {
		return err
	}
	out.VersionIDsToStages, out.SecretVersionsToStages = out.SecretVersionsToStages, nil
	out.ReplicationStatus = statuses(d.AWS.Replicas)
	return c.reply(out)
}

// describe is what the protocol tells of a secret. Its versions are under the name
// that ListSecrets has for them.
func (c *call) describe(d vault.Detail) (description, error) {
	out := description{
		ARN: c.arnOf(d.Name, d.ID, d.AWS), Name: string(display(d.Name, d.AWS)), Type: d.AWS.Type, Description: d.Metadata.Description,
		KmsKeyID: d.AWS.KMSKeyID, LastChangedDate: epoch(d.Changed), LastAccessedDate: epoch(d.LastRead),
		DeletedDate: epoch(d.Deletion), Tags: tags(d.Metadata.Tags, d.AWS.Tagged), CreatedDate: epoch(d.Created),
	}
	if len(d.AWS.Replicas) > 0 {
		out.PrimaryRegion = c.api.homeOf(d.AWS)
	}
	if v := c.viewOf(d.AWS); v != nil {
		out.KmsKeyID = v.KMSKeyID
	}
	status, err := statusOf(d)
	status.describe(d, &out)
	out.SecretVersionsToStages = stages(d, status.pending())
	return out, err
}

// stages are the labels of each version that has any. That which a rotation is to
// make has AWSPENDING before it is there: AWS's functions begin by looking.
func stages(d vault.Detail, pending secret.VersionID) map[secret.VersionID][]string {
	out := make(map[secret.VersionID][]string, len(d.IDs))
	for label, n := range d.Labels {
		out[d.IDs[n]] = append(out[d.IDs[n]], string(label))
	}
	for _, labels := range out {
		slices.Sort(labels)
	}
	if pending != "" && d.Labels[secret.Pending] == 0 && out[pending] == nil {
		out[pending] = []string{string(secret.Pending)}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

type deleteRequest struct {
	SecretID                   string `json:"SecretId"`
	RecoveryWindowInDays       *int64 `json:"RecoveryWindowInDays"`
	ForceDeleteWithoutRecovery bool   `json:"ForceDeleteWithoutRecovery"`
}

func (in *deleteRequest) window() (time.Duration, error) {
	const day = 24 * time.Hour
	switch {
	case in.RecoveryWindowInDays == nil:
		return secret.DefaultRecovery, nil
	case in.ForceDeleteWithoutRecovery:
		return 0, invalidParameter("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
	}
	days := *in.RecoveryWindowInDays
	if days < int64(secret.MinRecovery/day) || days > int64(secret.MaxRecovery/day) {
		return 0, invalidParameter("The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
	}
	return time.Duration(days) * day, nil
}

func deleteSecret(c *call, in *deleteRequest) error {
	ref, err := c.find(in.SecretID)
	if err != nil {
		return err
	}
	window, err := in.window()
	if err != nil {
		return reject(err)
	}
	c.key("secretsmanager:forcedeletewithoutrecovery", strconv.FormatBool(in.ForceDeleteWithoutRecovery))
	if in.RecoveryWindowInDays != nil {
		c.key("secretsmanager:recoverywindowindays", strconv.FormatInt(*in.RecoveryWindowInDays, 10))
	}
	if in.ForceDeleteWithoutRecovery {
		return c.purge(ref, in)
	}
	guard := c.guard(ref)
	session := c.session().Guarded(func(sec *store.Secret) error {
		if err := guard(sec); err != nil {
			return err
		}
		if err := c.unreplicated(sec); err != nil {
			return err
		}
		if !sec.Deletion.IsZero() {
			return secret.ErrDeleted.With(&fault{Type: typeInvalidRequest, Message: "You can't perform this operation on the secret because it was already scheduled for deletion."})
		}
		return nil
	})
	info, err := session.Delete(c.context(), c.secret, window)
	if err != nil {
		return err
	}
	return c.deleted(info.ID, info.Deletion)
}

// purge deletes a secret for good. One that is not there is deleted already, and
// told so under the ARN that was asked for.
func (c *call) purge(ref secretRef, in *deleteRequest) error {
	guard := c.guard(ref)
	err := c.session().Guarded(func(sec *store.Secret) error {
		if err := guard(sec); err != nil {
			return err
		}
		return c.unreplicated(sec)
	}).Purge(c.context(), c.secret)
	if err != nil && !errors.Is(err, secret.ErrNotFound) {
		return err
	}
	id := secret.NewID()
	if c.row != nil {
		id = c.row.ID
	}
	if err != nil && strings.HasPrefix(in.SecretID, "arn:") {
		return c.reply(deletion{identity{ARN: in.SecretID, Name: string(c.shown)}, epoch(c.api.now())})
	}
	return c.deleted(id, c.api.now())
}

type deletion struct {
	identity
	DeletionDate epoch `json:"DeletionDate"`
}

func (c *call) deleted(id secret.ID, when time.Time) error {
	return c.reply(deletion{c.identify(c.secret, id), epoch(when)})
}

func restoreSecret(c *call, in *idRequest) error {
	session, err := c.onID(in.SecretID)
	if err != nil {
		return err
	}
	_, err = session.Restore(c.context(), c.secret)
	// One that is not to be deleted is restored already.
	if err != nil && !(errors.Is(err, secret.ErrConflict) && c.row != nil && c.row.Deletion.IsZero()) {
		return err
	}
	return c.reply(c.identify(c.row.Name, c.row.ID))
}

func getRandomPassword(c *call, in *passwordRequest) error {
	password, err := in.make()
	if err != nil {
		return reject(err)
	}
	defer password.Release()
	return c.reply(struct {
		RandomPassword *secretbuf.Buffer `json:"RandomPassword"`
	}{password})
}

type tagRequest struct {
	SecretID string `json:"SecretId"`
	Tags     []tag  `json:"Tags"`
}

// tagMap adds tags to those that are there. Of a key that is given twice the
// real service wants to know which.
func tagMap(there map[string]string, add []tag) (map[string]string, error) {
	out := make(map[string]string, len(there)+len(add))
	for k, v := range there {
		out[k] = v
	}
	seen := map[string]bool{}
	for _, t := range add {
		switch {
		case t.Key == "" || len([]rune(t.Key)) > secret.MaxTagKey:
			return nil, validation("tags.member.key", fmt.Sprintf("Member must have length between 1 and %d, inclusive", secret.MaxTagKey))
		case len([]rune(t.Text)) > secret.MaxTagValue:
			return nil, validation("tags.member.value", fmt.Sprintf("Member must have length less than or equal to %d", secret.MaxTagValue))
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return nil, invalidParameter("Tag keys that start with 'aws:' are reserved.")
		case seen[t.Key]:
			return nil, invalidParameter("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[t.Key] = true
		out[t.Key] = t.Text
	}
	if len(out) > secret.MaxTags {
		return nil, &fault{Type: typeLimit, Message: fmt.Sprintf("A secret can have at most %d tags.", secret.MaxTags)}
	}
	return out, nil
}

func tagResource(c *call, in *tagRequest) error {
	if in.Tags == nil {
		return reject(validation("tags", "Member must not be null"))
	}
	var given []string
	for _, t := range in.Tags {
		c.key("aws:requesttag/"+strings.ToLower(t.Key), t.Text)
		given = append(given, t.Key)
	}
	c.key("aws:tagkeys", given...)
	return c.amendTags(in.SecretID, func(there map[string]string) (map[string]string, error) { return tagMap(there, in.Tags) })
}

type untagRequest struct {
	SecretID string   `json:"SecretId"`
	TagKeys  []string `json:"TagKeys"`
}

func untagResource(c *call, in *untagRequest) error {
	if in.TagKeys == nil {
		return reject(validation("tagKeys", "Member must not be null"))
	}
	if len(in.TagKeys) > 0 {
		c.key("aws:tagkeys", in.TagKeys...)
	}
	return c.amendTags(in.SecretID, func(there map[string]string) (map[string]string, error) {
		out := map[string]string{}
		for k, v := range there {
			if !slices.Contains(in.TagKeys, k) {
				out[k] = v
			}
		}
		return out, nil
	})
}

func (c *call) amendTags(id string, change func(map[string]string) (map[string]string, error)) error {
	session, err := c.onID(id)
	if err != nil {
		return err
	}
	_, err = session.Amend(c.context(), c.secret, vault.Amendment{Audit: audit.Update, Action: policy.Update,
		Change: func(m *secret.Metadata, a *secret.AWS) error {
			next, err := change(m.Tags)
			if err != nil {
				return secret.ErrInvalid.With(err)
			}
			m.Tags = next
			a.Tagged = a.Tagged || len(next) > 0
			return nil
		}})
	if err != nil {
		return err
	}
	return c.reply(struct{}{})
}
