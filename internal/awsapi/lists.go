package awsapi

import (
	"encoding/json"
	"net/http"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/store"
	"fastness/internal/vault"
	"fastness/internal/wire"
)

// maxToken is the longest NextToken.
const maxToken = 4096

type listRequest struct {
	IncludePlannedDeletion bool     `json:"IncludePlannedDeletion"`
	MaxResults             *int64   `json:"MaxResults"`
	Next                   string   `json:"NextToken"`
	Filters                []filter `json:"Filters"`
	SortBy                 string   `json:"SortBy"`
	SortOrder              string   `json:"SortOrder"`
}

// sortings are the ways in which a list can be ordered; by default by creation.
var sortings = map[string]vault.Order{
	"": vault.ByCreated, "created-date": vault.ByCreated, "last-accessed-date": vault.ByRead, "last-changed-date": vault.ByChanged, "name": vault.ByName,
}

// query is the list that the request asks for, checked.
func (in *listRequest) query(c *call) (q vault.DetailQuery, err error) {
	if q.Limit, err = pageSize("maxResults", in.MaxResults, maxResults); err != nil {
		return q, err
	}
	if err := checkFilters(in.Filters); err != nil {
		return q, err
	}
	var ok bool
	if q.Order, ok = sortings[in.SortBy]; !ok {
		return q, validation("sortBy", "Member must satisfy enum value set: [created-date, last-accessed-date, last-changed-date, name]")
	}
	switch in.SortOrder {
	case "", "asc":
	case "desc":
		q.Descending = true
	default:
		return q, validation("sortOrder", "Member must satisfy enum value set: [asc, desc]")
	}
	if len(in.Next) > maxToken {
		return q, validation("nextToken", "Member must have length less than or equal to 4096")
	}
	q.Deleted, q.Cursor = in.IncludePlannedDeletion, in.Next
	return q, c.filtered(&q, in.Filters)
}

// filtered makes a query pick what passes the filters.
func (c *call) filtered(q *vault.DetailQuery, filters []filter) error {
	key, err := json.Marshal(filters)
	if err != nil {
		return err
	}
	q.Key = string(key)
	q.Key += c.region
	q.Match = func(sec *store.Secret) bool { return c.isHere(sec.AWS) && c.attributes(sec).matches(filters) }
	return nil
}

// attributes are what filters look at.
func (c *call) attributes(sec *store.Secret) filtered {
	f := filtered{name: string(display(sec.Name, sec.AWS)), description: sec.Metadata.Description, tags: sec.Metadata.Tags}
	if len(sec.AWS.Replicas) > 0 {
		f.primaryRegion = c.api.homeOf(sec.AWS)
	}
	return f
}

func listSecrets(c *call, in *listRequest) error {
	q, err := in.query(c)
	if err != nil {
		return reject(err)
	}
	page, err := c.session().Details(c.context(), q)
	if err != nil {
		return err
	}
	out := listed{SecretList: []description{}, Next: page.Next}
	for _, d := range page.Items {
		entry, err := c.describe(d)
		if err != nil {
			return err
		}
		out.SecretList = append(out.SecretList, entry)
	}
	return c.reply(out)
}

// maxBatch is how many secrets one request may read.
const maxBatch = 20

type batchRequest struct {
	SecretIDList []string `json:"SecretIdList"`
	Filters      []filter `json:"Filters"`
	MaxResults   *int64   `json:"MaxResults"`
	Next         string   `json:"NextToken"`
}

// batchError tells of one secret of several why it is not there.
type batchError struct {
	SecretID  string `json:"SecretId"`
	ErrorCode string `json:"ErrorCode"`
	Message   string `json:"Message"`
}

func batchGetSecretValue(c *call, in *batchRequest) error {
	switch {
	case (len(in.SecretIDList) > 0) == (len(in.Filters) > 0):
		return reject(invalidParameter("Either 'SecretIdList' or 'Filters' must be provided, but not both."))
	case len(in.SecretIDList) > maxBatch:
		return reject(validation("secretIdList", "Member must have length less than or equal to 20"))
	case len(in.SecretIDList) > 0 && (in.MaxResults != nil || in.Next != ""):
		return reject(invalidParameter("'Filters' must be specified when 'MaxResults' or 'NextToken' is provided."))
	}
	ids, next, err := in.SecretIDList, "", error(nil)
	if len(in.Filters) > 0 {
		if ids, next, err = c.selected(in); err != nil {
			return err
		}
	}
	// The policy of each secret is asked about the read of its value.
	c.acts = "GetSecretValue"
	c.key("secretsmanager:versionstage", string(secret.Current))
	return c.batch(ids, next)
}

// selected lists the secrets that pass the filters.
func (c *call) selected(in *batchRequest) (ids []string, next string, err error) {
	q := vault.DetailQuery{Order: vault.ByCreated, Cursor: in.Next}
	if q.Limit, err = pageSize("maxResults", in.MaxResults, maxBatch); err == nil {
		err = checkFilters(in.Filters)
	}
	if err == nil {
		err = c.filtered(&q, in.Filters)
	}
	if err != nil {
		return nil, "", reject(err)
	}
	page, err := c.session().Details(c.context(), q)
	if err != nil {
		return nil, "", err
	}
	for _, d := range page.Items {
		ids = append(ids, c.arnOf(d.Name, d.ID, d.AWS))
	}
	return ids, page.Next, nil
}

// batch reads the current versions of the secrets and answers with those that
// can be read, and why the others cannot.
func (c *call) batch(ids []string, next string) error {
	wanted := make([]vault.Wanted, len(ids))
	rows := make([]*store.Secret, len(ids))
	for i, id := range ids {
		ref, err := c.find(id)
		if err != nil {
			return err
		}
		guard := c.guard(ref)
		wanted[i] = vault.Wanted{Name: c.secret, Guard: func(sec *store.Secret) error {
			c.row = nil // of the one before
			err := guard(sec)
			rows[i] = c.row
			return err
		}}
	}
	got, err := c.session().GetMany(c.context(), wanted)
	if err != nil {
		return err
	}
	var b secretbuf.Builder
	defer b.Release()
	b.Grow(sizeOfAll(got)) // once: what is outgrown is copied and wiped
	b.AppendString(`{"SecretValues":[`)
	failures, more := []batchError{}, false
	for i, g := range got {
		if g.Err != nil {
			c.row = rows[i]
			f := c.faultOf(c.noVersion(&getRequest{}, g.Err))
			failures = append(failures, batchError{ids[i], f.Type, f.Message})
			continue
		}
		if more {
			b.AppendString(`,`)
		}
		more, c.row = true, rows[i]
		c.appendReading(&b, g.Reading)
		g.Reading.Value.Release()
	}
	return c.sendBatch(&b, failures, next)
}

func sizeOfAll(got []vault.Got) int {
	n := 512
	for _, g := range got {
		n += 256
		if g.Reading != nil {
			n += sizeOf(g.Reading)
		}
	}
	return n
}

func (c *call) sendBatch(b *secretbuf.Builder, failures []batchError, next string) error {
	rest, err := json.Marshal(failures)
	if err != nil {
		return err
	}
	b.AppendString(`],"Errors":`)
	b.AppendString(string(rest))
	if next != "" {
		b.AppendString(`,"NextToken":`)
		wire.AppendText(b, next)
	}
	b.AppendString(`}`)
	c.send(http.StatusOK, b)
	return nil
}
