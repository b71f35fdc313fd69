package awsapi_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// modelSecret is a secret by AWS's rules, as they are documented.
type modelSecret struct {
	values  map[string]string // by version id
	labels  map[string]string // version id by label
	tags    map[string]string // nil if there never was one
	about   string
	deleted bool
}

// model is a tenant by AWS's rules. Its operations return the type of the error;
// empty for success.
type model map[string]*modelSecret

// label moves a label; AWSCURRENT leaves AWSPREVIOUS behind.
func (s *modelSecret) label(label, version string) {
	if from := s.labels["AWSCURRENT"]; label == "AWSCURRENT" && from != "" && from != version {
		s.labels["AWSPREVIOUS"] = from
	}
	s.labels[label] = version
}

func (m model) create(name, token, value string) string {
	s := m[name]
	switch {
	case s != nil && s.deleted:
		return "InvalidRequestException"
	case s != nil && s.values[token] == value && value != "":
		return ""
	case s != nil:
		return "ResourceExistsException"
	}
	m[name] = &modelSecret{values: map[string]string{}, labels: map[string]string{}}
	if value != "" {
		m[name].values[token] = value
		m[name].label("AWSCURRENT", token)
	}
	return ""
}

// usable returns the secret, or the error of operations that want one that is
// not deleted.
func (m model) usable(name string) (*modelSecret, string) {
	switch s := m[name]; {
	case s == nil:
		return nil, "ResourceNotFoundException"
	case s.deleted:
		return nil, "InvalidRequestException"
	default:
		return s, ""
	}
}

func (m model) put(name, token, value string, stages []string) string {
	s, refused := m.usable(name)
	if refused != "" {
		return refused
	}
	if there, ok := s.values[token]; ok {
		if there != value {
			return "ResourceExistsException"
		}
		return ""
	}
	s.values[token] = value
	if stages == nil || s.labels["AWSCURRENT"] == "" {
		s.label("AWSCURRENT", token)
	}
	for _, stage := range stages {
		s.label(stage, token)
	}
	return ""
}

func (m model) update(name, token, value, about string) string {
	if value != "" {
		if refused := m.put(name, token, value, nil); refused != "" {
			return refused
		}
	}
	s, refused := m.usable(name)
	if refused == "" && value == "" {
		s.about = about
	}
	return refused
}

func (m model) restage(name, stage, from, to string) string {
	s, refused := m.usable(name)
	if refused != "" {
		return refused
	}
	for _, id := range []string{to, from} {
		if _, ok := s.values[id]; id != "" && !ok {
			return "ResourceNotFoundException"
		}
	}
	at := s.labels[stage]
	switch {
	case from == "" && to == "":
		return "InvalidParameterException"
	case at != from && at != to, at == "" && from != "":
		return "InvalidParameterException"
	case to == "" && stage == "AWSCURRENT":
		return "InvalidParameterException"
	case to == "":
		delete(s.labels, stage)
	case at != to:
		s.label(stage, to)
	}
	return ""
}

func (m model) tag(name, key, value string) string {
	s, refused := m.usable(name)
	if refused != "" {
		return refused
	}
	if s.tags == nil {
		s.tags = map[string]string{}
	}
	s.tags[key] = value
	return ""
}

func (m model) untag(name, key string) string {
	s, refused := m.usable(name)
	if refused == "" {
		delete(s.tags, key)
	}
	return refused
}

func (m model) remove(name string, force bool) string {
	s := m[name]
	switch {
	case force:
		delete(m, name)
	case s == nil:
		return "ResourceNotFoundException"
	case s.deleted:
		return "InvalidRequestException"
	default:
		s.deleted = true
	}
	return ""
}

func (m model) restore(name string) string {
	if m[name] == nil {
		return "ResourceNotFoundException"
	}
	m[name].deleted = false
	return ""
}

// TestModel runs random sequences of operations through the SDK against the
// model: every answer, and all that can be seen of the secrets after it, must be
// the same.
func TestModel(t *testing.T) {
	s := newService(t)
	c := s.tenant("acme")
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		m := model{}
		name := rapid.SampledFrom([]string{"a", "b"})
		token := rapid.SampledFrom([]string{tokenA, tokenB, tokenC})
		value := rapid.SampledFrom([]string{"1", "2"})
		stage := rapid.SampledFrom([]string{"AWSCURRENT", "AWSPREVIOUS", "AWSPENDING", "blue"})
		perhaps := func(g *rapid.Generator[string], label string) string {
			return rapid.OneOf(g, rapid.Just("")).Draw(t, label)
		}
		prefixed := func(n string) *string { return aws.String(fmt.Sprintf("run-%d/%s", run, n)) }
		optional := func(s string) *string {
			if s == "" {
				return nil
			}
			return &s
		}
		var on string // the secret of the last operation
		same := func(t *rapid.T, err error, want string) {
			t.Helper()
			got := ""
			var api smithy.APIError
			if errors.As(err, &api) {
				got = api.ErrorCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Fatalf("refused with %q, and by the model with %q (%v)", got, want, err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"create": func(t *rapid.T) {
				n, k, v := name.Draw(t, "name"), token.Draw(t, "token"), perhaps(value, "value")
				on = n
				same(t, errOf(c.CreateSecret(ctx, &sm.CreateSecretInput{Name: prefixed(n), ClientRequestToken: &k, SecretString: optional(v)})), m.create(n, k, v))
			},
			"put": func(t *rapid.T) {
				n, k, v := name.Draw(t, "name"), token.Draw(t, "token"), value.Draw(t, "value")
				on = n
				var stages []string
				if rapid.Bool().Draw(t, "staged") {
					stages = rapid.SliceOfNDistinct(stage, 1, 3, rapid.ID[string]).Draw(t, "stages")
					slices.Sort(stages) // AWSCURRENT first: moving it sets AWSPREVIOUS
				}
				same(t, errOf(c.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: prefixed(n), ClientRequestToken: &k, SecretString: &v, VersionStages: stages})), m.put(n, k, v, stages))
			},
			"update": func(t *rapid.T) {
				n, k, v, about := name.Draw(t, "name"), token.Draw(t, "token"), perhaps(value, "value"), rapid.SampledFrom([]string{"x", "y"}).Draw(t, "description")
				on = n
				in := &sm.UpdateSecretInput{SecretId: prefixed(n), ClientRequestToken: &k, SecretString: optional(v)}
				if v == "" {
					in.Description = &about
				}
				same(t, errOf(c.UpdateSecret(ctx, in)), m.update(n, k, v, about))
			},
			"restage": func(t *rapid.T) {
				n, l, from, to := name.Draw(t, "name"), stage.Draw(t, "stage"), perhaps(token, "from"), perhaps(token, "to")
				on = n
				want := m.restage(n, l, from, to)
				if from == "" && to == "" {
					want = "InvalidParameterException" // before the secret is looked for
				}
				same(t, errOf(c.UpdateSecretVersionStage(ctx, &sm.UpdateSecretVersionStageInput{SecretId: prefixed(n), VersionStage: &l, RemoveFromVersionId: optional(from), MoveToVersionId: optional(to)})), want)
			},
			"tag": func(t *rapid.T) {
				n, k, v := name.Draw(t, "name"), stage.Draw(t, "key"), value.Draw(t, "value")
				on = n
				same(t, errOf(c.TagResource(ctx, &sm.TagResourceInput{SecretId: prefixed(n), Tags: []types.Tag{{Key: &k, Value: &v}}})), m.tag(n, k, v))
			},
			"untag": func(t *rapid.T) {
				n, k := name.Draw(t, "name"), stage.Draw(t, "key")
				on = n
				same(t, errOf(c.UntagResource(ctx, &sm.UntagResourceInput{SecretId: prefixed(n), TagKeys: []string{k}})), m.untag(n, k))
			},
			"delete": func(t *rapid.T) {
				n, force := name.Draw(t, "name"), rapid.IntRange(0, 3).Draw(t, "force") == 0
				on = n
				same(t, errOf(c.DeleteSecret(ctx, &sm.DeleteSecretInput{SecretId: prefixed(n), ForceDeleteWithoutRecovery: &force})), m.remove(n, force))
			},
			"restore": func(t *rapid.T) {
				n := name.Draw(t, "name")
				on = n
				same(t, errOf(c.RestoreSecret(ctx, &sm.RestoreSecretInput{SecretId: prefixed(n)})), m.restore(n))
			},
			"": func(t *rapid.T) {
				if on != "" {
					m.compare(t, c, on, prefixed(on))
				}
			},
		})
	})
}

// compare looks at all that can be seen of a secret.
func (m model) compare(t *rapid.T, c *client, name string, id *string) {
	want := m[name]
	d, err := c.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: id})
	if want == nil {
		if err == nil {
			t.Fatalf("%s is there: %+v", name, d)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var tags map[string]string
	if d.Tags != nil {
		tags = map[string]string{}
	}
	for _, tag := range d.Tags {
		tags[*tag.Key] = *tag.Value
	}
	labels := map[string]string{}
	for version, stages := range d.VersionIdsToStages {
		for _, stage := range stages {
			labels[stage] = version
		}
	}
	got := &modelSecret{values: want.values, labels: labels, tags: tags, about: aws.ToString(d.Description), deleted: d.DeletedDate != nil}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(modelSecret{})); diff != "" {
		t.Fatalf("%s (-model +fastness):\n%s", name, diff)
	}
	if want.deleted {
		return
	}
	for _, version := range slices.Sorted(maps.Keys(want.values)) {
		out, err := c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: id, VersionId: &version})
		if err != nil || *out.SecretString != want.values[version] {
			t.Fatalf("version %s: %+v, %v", version, out, err)
		}
	}
}
