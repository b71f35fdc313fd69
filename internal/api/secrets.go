package api

import (
	"net/http"
	"time"

	"fastness/internal/rotation"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

// getValue answers with a version's value.
func getValue(c *call) error {
	sel, err := c.selector()
	if err != nil {
		return err
	}
	reading, err := c.session().Get(c.context(), c.name, sel)
	if err != nil {
		return err
	}
	defer reading.Value.Release()
	var b secretbuf.Builder
	defer b.Release()
	// Most values need no escaping, and the rest of the answer is short.
	b.Grow(reading.Value.Len() + reading.Value.Len()/2 + 256 + len(reading.Name))
	wire.AppendValue(&b, wire.ValueReply{
		Name: string(reading.Name), Version: reading.Version.String(),
		VersionID: string(reading.VersionID), Stages: wire.StagesOf(reading.Labels),
	}, reading.Value.Bytes(), reading.Kind)
	reading.Value.Release() // one copy is enough while the answer leaves
	c.send(http.StatusOK, jsonType, &b)
	return nil
}

// selector reads which version is wanted: one of version, versionId and stage,
// or none for the current one.
func (c *call) selector() (sel store.Selector, err error) {
	if len(c.query) > 1 {
		return sel, invalid("query", "only one of version, versionId and stage")
	}
	for name, values := range c.query {
		switch name {
		case "version":
			sel.Number, err = secret.ParseVersion(values[0])
		case "versionId":
			sel.ID, err = secret.ParseVersionID(values[0])
		case "stage":
			sel.Label, err = secret.ParseLabel(values[0])
		}
	}
	return sel, reject(err)
}

// putValue creates the secret or adds a version.
func putValue(c *call) error {
	if _, err := secret.ParseNativeName(string(c.name)); err != nil {
		return reject(err)
	}
	var request wire.PutRequest
	value, kind, err := wire.DecodeValue(c.body, &request)
	if err != nil {
		return reject(err)
	}
	defer value.Release()
	put, err := putOf(value, kind, request)
	if err != nil {
		return reject(err)
	}
	written, err := c.session().Put(c.context(), c.name, put)
	if err != nil {
		return err
	}
	return c.written(written)
}

// createSecret makes a secret that must not exist.
func createSecret(c *call) error {
	var request wire.CreateRequest
	value, kind, err := wire.DecodeValue(c.body, &request)
	if err != nil {
		return reject(err)
	}
	defer value.Release()
	name, err := secret.ParseNativeName(request.Name)
	if err == nil {
		err = checkPathName(name)
	}
	if err != nil {
		return reject(err)
	}
	c.name = name
	put, err := putOf(value, kind, request.PutRequest)
	if err != nil {
		return reject(err)
	}
	put.IfAbsent = true
	written, err := c.session().Put(c.context(), name, put)
	if err != nil {
		return err
	}
	return c.written(written)
}

func putOf(value *secretbuf.Buffer, kind secret.Kind, request wire.PutRequest) (put vault.Put, err error) {
	put = vault.Put{Value: value, Kind: kind}
	if put.Patch, err = request.Patch(); err != nil {
		return put, err
	}
	if put.Labels, err = request.Labels(); err != nil {
		return put, err
	}
	put.Token, err = requestToken(request.RequestToken)
	return put, err
}

// requestToken reads an optional request token.
func requestToken(s string) (secret.VersionID, error) {
	if s == "" {
		return "", nil
	}
	return secret.ParseVersionID(s)
}

// written answers a write: never with the value.
func (c *call) written(w vault.Written) error {
	status := http.StatusOK
	if w.Created {
		status = http.StatusCreated
	}
	return c.reply(status, wire.Written{
		Name: string(w.Name), Version: w.Version.String(), VersionID: string(w.VersionID),
		Stages: wire.StagesOf(w.Labels), Created: w.Made, NextRotation: w.NextRotation,
	})
}

// rotate makes a new version, of a value that the body carries or of one made
// by a rule; or asks for a rotation of a secret that rotates by itself.
func rotate(c *call) error {
	var put vault.Put
	if c.body.Len() > 0 {
		var request wire.RotateRequest
		value, kind, err := wire.DecodeOptionalValue(c.body, &request)
		if err != nil {
			return reject(err)
		}
		defer value.Release()
		put.Value, put.Kind = value, kind
		if put.Token, err = requestToken(request.RequestToken); err != nil {
			return reject(err)
		}
	}
	written, asked, err := rotation.Rotate(c.context(), c.session(), c.name, put)
	if asked != nil {
		return c.rotation(http.StatusAccepted, *asked, err)
	}
	if err != nil {
		return err
	}
	return c.written(written)
}

// listSecrets answers with a page of secrets.
func listSecrets(c *call) (err error) {
	q := vault.ListQuery{Prefix: c.query.Get("prefix"), TagKey: c.query.Get("tagKey"), TagValue: c.query.Get("tagValue")}
	if q.TagKey == "" && c.query.Has("tagValue") {
		return invalid("tagValue", "only together with tagKey")
	}
	if len(q.Prefix) > secret.MaxName {
		return reject(secret.Limited("prefix", "at most 512 characters"))
	}
	if q.Due, err = c.flag("due"); err != nil {
		return err
	}
	if q.Deleted, err = c.flag("deleted"); err != nil {
		return err
	}
	return c.list(q)
}

// listDue answers with a page of the secrets whose required rotation is due.
func listDue(c *call) error { return c.list(vault.ListQuery{Due: true}) }

func (c *call) list(q vault.ListQuery) (err error) {
	if q.Limit, q.Cursor, err = c.page(); err != nil {
		return err
	}
	page, err := c.session().List(c.context(), q)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ListOf(page.Items, wire.SecretOf, page.Next))
}

// listVersions answers with a page of a secret's versions.
func listVersions(c *call) error {
	limit, cursor, err := c.page()
	if err != nil {
		return err
	}
	page, err := c.session().Versions(c.context(), c.name, limit, cursor)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.ListOf(page.Items, wire.VersionInfoOf, page.Next))
}

// info answers with a secret's metadata, or with the error that stood in the
// way of it.
func (c *call) info(i secret.Info, err error) error {
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, wire.SecretOf(i))
}

func describe(c *call) error { return c.info(c.session().Describe(c.context(), c.name)) }

func restore(c *call) error { return c.info(c.session().Restore(c.context(), c.name)) }

func update(c *call) error {
	var request wire.UpdateRequest
	if err := wire.Decode(c.body, &request); err != nil {
		return reject(err)
	}
	patch, err := request.Patch()
	if err != nil {
		return reject(err)
	}
	return c.info(c.session().Update(c.context(), c.name, patch))
}

// remove schedules a secret for deletion, or purges it.
func remove(c *call) error {
	purge, err := c.flag("purge")
	if err != nil {
		return err
	}
	if purge {
		if c.query.Has("recoveryDays") {
			return invalid("recoveryDays", "not together with purge")
		}
		if err := c.session().Purge(c.context(), c.name); err != nil {
			return err
		}
		return c.noContent()
	}
	const day = 24 * time.Hour
	days, err := c.integer("recoveryDays", int(secret.DefaultRecovery/day), int(secret.MinRecovery/day), int(secret.MaxRecovery/day))
	if err != nil {
		return err
	}
	return c.info(c.session().Delete(c.context(), c.name, time.Duration(days)*day))
}

// moveLabel puts a staging label on a version.
func moveLabel(c *call) error {
	var request wire.LabelRequest
	if err := wire.Decode(c.body, &request); err != nil {
		return reject(err)
	}
	to, from, err := request.Versions()
	if err != nil {
		return reject(err)
	}
	return c.info(c.session().MoveLabel(c.context(), c.name, vault.Move{Label: c.stage, To: to, From: from}))
}

// removeLabel takes a staging label off.
func removeLabel(c *call) error {
	move := vault.Move{Label: c.stage}
	if c.query.Has("expectedVersion") {
		move.From = new(secret.Version) // 0: on no version
		if text := c.query.Get("expectedVersion"); text != "" && text != "0" {
			v, err := secret.ParseVersion(text)
			if err != nil {
				return invalid("expectedVersion", "a whole number from 0")
			}
			*move.From = v
		}
	}
	return c.info(c.session().MoveLabel(c.context(), c.name, move))
}
