package awsapi

import (
	"fmt"
	"net/http"
	"slices"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

// carried are the two members in which a request carries a value.
type carried struct {
	SecretString *secretbuf.Buffer `json:"SecretString"`
	SecretBinary *secretbuf.Buffer `json:"SecretBinary"` // base64
}

func (v *carried) release() {
	v.SecretString.Release()
	v.SecretBinary.Release()
}

// value takes the value out of a request; nil if it carries none. Whoever calls it
// releases the result.
func (v *carried) value() (value *secretbuf.Buffer, kind secret.Kind, err error) {
	member := "secretString"
	switch {
	case v.SecretString != nil && v.SecretBinary != nil:
		return nil, 0, invalidParameter("You can't specify both a binary secret value and a string secret value in the same secret.")
	case v.SecretString != nil:
		value, v.SecretString = v.SecretString, nil
	case v.SecretBinary != nil:
		member, kind = "secretBinary", secret.Binary
		if value, err = wire.FromBase64("SecretBinary", v.SecretBinary); err != nil {
			return nil, 0, serialization(err)
		}
	default:
		return nil, 0, nil
	}
	if n := value.Len(); n < 1 || n > secret.MaxValue {
		value.Release()
		return nil, 0, validation(member, fmt.Sprintf("Member must have length between 1 and %d, inclusive", secret.MaxValue))
	}
	return value, kind, nil
}

// requestToken reads a ClientRequestToken, which must be there: SDKs fill it in.
func requestToken(token string) (secret.VersionID, error) {
	if token == "" {
		return "", errNoToken
	}
	id, err := secret.ParseVersionID(token)
	if err != nil {
		return "", invalidParameter("ClientRequestToken must be 32-64 characters long.")
	}
	return id, nil
}

type getRequest struct {
	SecretID     string `json:"SecretId"`
	VersionID    string `json:"VersionId"`
	VersionStage string `json:"VersionStage"`
}

// selector says which version is asked for; by default the one labelled
// AWSCURRENT.
func (r *getRequest) selector() (sel store.Selector, err error) {
	if r.VersionID != "" {
		if sel.ID, err = secret.ParseVersionID(r.VersionID); err != nil {
			return sel, invalidParameter("VersionId must be 32-64 characters long.")
		}
	}
	if r.VersionStage != "" {
		sel.Label, err = parseStage(r.VersionStage)
	}
	return sel, err
}

// parseStage reads a staging label. Unlike the native API's its short forms are
// labels of their own.
func parseStage(s string) (secret.Label, error) {
	if len(s) > secret.MaxLabel || secret.CheckLine("versionStage", s) != nil {
		return "", validation("versionStage", fmt.Sprintf("Member must have length between 1 and %d, inclusive", secret.MaxLabel))
	}
	return secret.Label(s), nil
}

func getSecretValue(c *call, in *getRequest) error {
	session, err := c.onID(in.SecretID)
	if err != nil {
		return err
	}
	sel, err := in.selector()
	if err != nil {
		return reject(err)
	}
	c.selectorKeys(in)
	reading, err := session.Get(c.context(), c.secret, sel)
	if err != nil {
		return c.noVersion(in, err)
	}
	defer reading.Value.Release()
	var b secretbuf.Builder
	defer b.Release()
	c.appendReading(&b, reading)
	c.send(http.StatusOK, &b)
	return nil
}

// selectorKeys tells a resource policy which version is asked for.
func (c *call) selectorKeys(in *getRequest) {
	switch {
	case in.VersionStage != "":
		c.key("secretsmanager:versionstage", in.VersionStage)
	case in.VersionID == "":
		c.key("secretsmanager:versionstage", string(secret.Current))
	}
	if in.VersionID != "" {
		c.key("secretsmanager:versionid", in.VersionID)
	}
}

// noVersion names what was not found: the version, if the secret is there. The
// guard has seen the row only of one that the caller may read.
func (c *call) noVersion(in *getRequest, err error) error {
	if secret.Of(err).Code != secret.ErrNotFound.Code || c.row == nil {
		return err
	}
	what := "staging label: " + string(secret.Current)
	switch {
	case in.VersionID != "":
		what = "VersionId: " + in.VersionID
	case in.VersionStage != "":
		what = "staging label: " + in.VersionStage
	}
	return &fault{typeNotFound, "Secrets Manager can't find the specified secret value for " + what, err}
}

// sizeOf is about how much room a reading takes. A value of many escapes takes
// more, and is moved once.
func sizeOf(r *vault.Reading) int { return 512 + 2*len(r.Name) + 3*r.Value.Len()/2 }

// appendReading appends a version with its value, which is escaped into the
// buffer without another copy.
func (c *call) appendReading(b *secretbuf.Builder, r *vault.Reading) {
	b.Grow(sizeOf(r))
	b.AppendString(`{"ARN":`)
	known := c.known(r.ID)
	wire.AppendText(b, c.arnOf(r.Name, r.ID, known))
	b.AppendString(`,"Name":`)
	wire.AppendText(b, string(display(r.Name, known)))
	b.AppendString(`,"VersionId":`)
	wire.AppendText(b, string(r.VersionID))
	if r.Kind == secret.Binary {
		b.AppendString(`,"SecretBinary":`)
		wire.AppendBase64(b, r.Value.Bytes())
	} else {
		b.AppendString(`,"SecretString":`)
		wire.AppendSecret(b, r.Value.Bytes())
	}
	for i, label := range r.Labels {
		b.AppendString([...]string{`,"VersionStages":[`, `,`}[min(i, 1)])
		wire.AppendText(b, string(label))
	}
	if len(r.Labels) > 0 {
		b.AppendString(`]`)
	}
	b.AppendString(`,"CreatedDate":` + epoch(r.Created).text() + `}`)
}

type putRequest struct {
	SecretID        string   `json:"SecretId"`
	ClientRequestID string   `json:"ClientRequestToken"`
	VersionStages   []string `json:"VersionStages"`
	carried
}

func putSecretValue(c *call, in *putRequest) error {
	token, err := requestToken(in.ClientRequestID)
	if err != nil {
		return reject(err)
	}
	session, err := c.onID(in.SecretID)
	if err != nil {
		return err
	}
	labels, err := in.stages()
	if err != nil {
		return reject(err)
	}
	value, kind, err := in.value()
	if err != nil {
		return reject(err)
	}
	if value == nil {
		return reject(invalidRequest("You must provide either SecretString or SecretBinary."))
	}
	defer value.Release()
	w, err := session.Put(c.context(), c.secret, vault.Put{Value: value, Kind: kind, Token: token, Labels: labels, IfPresent: true})
	if err != nil {
		return c.tokenUsed(token, err)
	}
	return c.reply(struct {
		identity
		VersionStages []string `json:"VersionStages,omitzero"`
	}{c.written(w), wire.StagesOf(w.Labels)})
}

// stages are the labels that the request gives; nil for none.
func (r *putRequest) stages() (labels []secret.Label, err error) {
	if r.VersionStages == nil {
		return nil, nil
	}
	if n := len(r.VersionStages); n < 1 || n > secret.MaxLabels {
		return nil, validation("versionStages", fmt.Sprintf("Member must have length between 1 and %d, inclusive", secret.MaxLabels))
	}
	for _, s := range r.VersionStages {
		label, err := parseStage(s)
		if err != nil || s == "" {
			return nil, validation("versionStages", "Member must satisfy constraint: [Member must have length between 1 and 256, inclusive]")
		}
		if !slices.Contains(labels, label) {
			labels = append(labels, label)
		}
	}
	return labels, nil
}

func (c *call) written(w vault.Written) identity {
	id := c.identify(w.Name, w.ID)
	id.VersionID = string(w.VersionID)
	return id
}

// tokenUsed words the error of a write whose token has another value already.
func (c *call) tokenUsed(token secret.VersionID, err error) error {
	if secret.Of(err).Code != secret.ErrConflict.Code || c.row == nil {
		return err
	}
	return &fault{typeExists, fmt.Sprintf("You can't use ClientRequestToken %s because that value is already in use for a version of secret %s.",
		token, c.arnOf(c.row.Name, c.row.ID, c.row.AWS)), err}
}
