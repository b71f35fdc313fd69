package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fastness/internal/api"
	"fastness/internal/audit"
	"fastness/internal/schedule"
	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

var updateDocument = flag.Bool("update", false, "write openapi.json anew")

const documentFile = "openapi.json"

// object is a JSON object; its keys come out sorted.
type object = map[string]any

// TestOpenAPIIsCurrent makes the document from the table and the wire structs
// and compares it with the one that is served.
func TestOpenAPIIsCurrent(t *testing.T) {
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(document()); err != nil {
		t.Fatal(err)
	}
	if *updateDocument {
		if err := os.WriteFile(documentFile, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(documentFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("openapi.json is not current; run: go test ./internal/api -run OpenAPI -update\n%s", diff)
	}
}

// TestOpenAPIAgainstTable reads the document as a client's generator would,
// and compares it with the table in both directions.
func TestOpenAPIAgainstTable(t *testing.T) {
	raw, err := os.ReadFile(documentFile)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Security    []map[string][]string
			Parameters  []struct{ Name, In string }
			RequestBody *struct {
				Content map[string]struct {
					Schema struct {
						Ref string `json:"$ref"`
					}
				}
			}
			Responses map[string]json.RawMessage
		}
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("openapi is %q", doc.OpenAPI)
	}
	type operation struct {
		Query, Path []string
		Statuses    []int
		Body        bool
		Open        bool
	}
	got, want := map[string]operation{}, map[string]operation{}
	ids := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			o := operation{Body: op.RequestBody != nil, Open: len(op.Security) == 0 && op.Security != nil}
			for _, p := range op.Parameters {
				switch p.In {
				case "query":
					o.Query = append(o.Query, p.Name)
				case "path":
					o.Path = append(o.Path, p.Name)
				default:
					t.Errorf("%s %s: parameter %s in %s", method, path, p.Name, p.In)
				}
			}
			for status := range op.Responses {
				n, err := strconv.Atoi(status)
				if err != nil {
					t.Errorf("%s %s: status %q", method, path, status)
				}
				o.Statuses = append(o.Statuses, n)
			}
			slices.Sort(o.Statuses)
			slices.Sort(o.Query)
			got[strings.ToUpper(method)+" "+path] = o
			if op.OperationID == "" || ids[op.OperationID] {
				t.Errorf("%s %s: operationId %q is empty or taken", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
		}
	}
	for _, r := range api.Routes() {
		o := operation{Body: r.Body > 0, Open: r.Open, Statuses: r.Statuses(), Path: pathParams(r.Pattern)}
		for _, p := range r.Query {
			o.Query = append(o.Query, p.Name)
		}
		slices.Sort(o.Query)
		want[r.Method+" "+r.Pattern] = o
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("document differs from the table (-table +document):\n%s", diff)
	}
	checkReferences(t, raw, doc.Components.Schemas)
}

// checkReferences fails for a reference to nothing and for a schema that
// nobody refers to.
func checkReferences(t *testing.T, raw []byte, schemas map[string]json.RawMessage) {
	t.Helper()
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`"#/components/schemas/([A-Za-z]+)"`).FindAllSubmatch(raw, -1) {
		used[string(m[1])] = true
		if schemas[string(m[1])] == nil {
			t.Errorf("no schema %s", m[1])
		}
	}
	for name := range schemas {
		if !used[name] {
			t.Errorf("schema %s is not used", name)
		}
	}
}

var pathParam = regexp.MustCompile(`\{(\w+)\}`)

func pathParams(pattern string) (names []string) {
	for _, m := range pathParam.FindAllStringSubmatch(pattern, -1) {
		names = append(names, m[1])
	}
	return names
}

// document makes the OpenAPI document.
func document() object {
	paths := object{}
	for _, r := range api.Routes() {
		if paths[r.Pattern] == nil {
			paths[r.Pattern] = object{}
		}
		paths[r.Pattern].(object)[strings.ToLower(r.Method)] = operationOf(r)
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title":       "Fastness",
			"version":     "1",
			"description": documentText,
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"paths":    paths,
		"security": []any{object{"token": []string{}}},
		"components": object{
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "bearerFormat": "fst_…"}},
			"responses":       problems(),
			"schemas":         schemas(),
		},
	}
}

const documentText = `Names travel percent-encoded as one path segment: the name a/b is a%2Fb. ` +
	`Bodies are JSON in UTF-8; a field that is unknown, given twice or of the wrong type is refused. ` +
	`Lists are pages: pass nextCursor as cursor until it is empty. ` +
	`Every answer carries X-Correlation-Id, which is also in the audit log.`

var pathDocs = map[string]string{
	"tenant":    "the tenant's name: 1 to 63 of a-z, 0-9 and '-'",
	"name":      "the secret's name: 1 to 512 of A-Z a-z 0-9 / _ + = . @ - !",
	"stage":     "a staging label; current, previous and pending stand for AWSCURRENT, AWSPREVIOUS and AWSPENDING",
	"id":        "the credential's id",
	"issuer":    "the tenant's name for an issuer: 1 to 63 of a-z, 0-9 and '-'",
	"ca":        "the tenant's name for a CA: 1 to 63 of a-z, 0-9 and '-'",
	"policy":    "the policy's name: 1 to 63 of a-z, 0-9 and '-', not beginning with '-'",
	"denial":    "the correlation id of the answer that refused",
	"principal": "the name of a person, service or operator: 1 to 128 of A-Z a-z 0-9 . _ @ : / -",
}

func operationOf(r api.Route) object {
	op := object{"summary": r.Summary, "operationId": operationID(r), "responses": responses(r)}
	if r.Open {
		op["security"] = []any{}
	}
	var params []any
	for _, name := range pathParams(r.Pattern) {
		params = append(params, object{"name": name, "in": "path", "required": true,
			"description": pathDocs[name], "schema": object{"type": "string"}})
	}
	for _, p := range r.Query {
		schema := object{"type": p.Kind}
		if p.Kind == "date-time" {
			schema = object{"type": "string", "format": "date-time"}
		}
		params = append(params, object{"name": p.Name, "in": "query", "description": p.Doc, "schema": schema})
	}
	if params != nil {
		op["parameters"] = params
	}
	if r.Body > 0 {
		op["requestBody"] = object{
			"description": fmt.Sprintf("at most %d bytes", r.Body),
			"required":    !slices.Contains(optionalBodies, r.Request),
			"content":     object{"application/json": object{"schema": ref(r.Request)}},
		}
	}
	if r.Deadline > 0 {
		op["description"] = "Ends after " + r.Deadline.String() + " at the latest."
	}
	return op
}

// optionalBodies may be left out whole.
var optionalBodies = []string{"RotateRequest", "ExportRequest"}

// operationID is the method and the words of the path.
func operationID(r api.Route) string {
	id := strings.ToLower(r.Method)
	for word := range strings.FieldsFuncSeq(strings.TrimPrefix(r.Pattern, api.Prefix), func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z')
	}) {
		id += strings.ToUpper(word[:1]) + word[1:]
	}
	return id
}

func responses(r api.Route) object {
	out := object{}
	for _, status := range r.Statuses() {
		answer := object{"description": http.StatusText(status)}
		switch {
		case status >= 400:
			answer = object{"$ref": "#/components/responses/" + problemName(status)}
		case status == http.StatusAccepted && r.Accepted != "":
			answer["content"] = object{"application/json": object{"schema": ref(r.Accepted)}}
		case status != http.StatusNoContent:
			answer["content"] = object{r.MediaType(): object{"schema": ref(r.Response)}}
		}
		out[strconv.Itoa(status)] = answer
	}
	return out
}

func problemName(status int) string { return strings.ReplaceAll(http.StatusText(status), " ", "") }

// problems are the answers that routes share.
func problems() object {
	out := object{}
	for _, r := range api.Routes() {
		for _, status := range r.Statuses() {
			if status >= 400 {
				out[problemName(status)] = object{"description": http.StatusText(status),
					"content": object{wire.ProblemType: object{"schema": ref("Problem")}}}
			}
		}
	}
	return out
}

func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

// bodies are the structs behind the schemas.
var bodies = map[string]any{
	"TenantCreateRequest": wire.TenantCreateRequest{}, "TenantCreated": wire.TenantCreated{},
	"TenantInfo": wire.TenantInfo{}, "TenantList": wire.TenantList{},
	"CreateRequest": wire.CreateRequest{}, "PutRequest": wire.PutRequest{}, "UpdateRequest": wire.UpdateRequest{},
	"RotateRequest": wire.RotateRequest{}, "LabelRequest": wire.LabelRequest{}, "Written": wire.Written{},
	"Secret": wire.Secret{}, "SecretList": wire.SecretList{}, "ValueReply": wire.ValueReply{},
	"VersionInfo": wire.VersionInfo{}, "VersionList": wire.VersionList{},
	"TokenCreateRequest": wire.TokenCreateRequest{}, "TokenCreated": wire.TokenCreated{},
	"TokenInfo": wire.TokenInfo{}, "TokenList": wire.TokenList{}, "Grant": wire.Grant{},
	"AccessKeyCreated": wire.AccessKeyCreated{}, "CredentialRotateRequest": wire.CredentialRotateRequest{},
	"PrincipalCreateRequest": wire.PrincipalCreateRequest{}, "PrincipalUpdateRequest": wire.PrincipalUpdateRequest{},
	"Principal": wire.Principal{}, "PrincipalList": wire.PrincipalList{},
	"IssuerRequest": wire.IssuerRequest{}, "Issuer": wire.Issuer{}, "IssuerList": wire.IssuerList{}, "Binding": wire.Binding{},
	"AuthorityRequest": wire.AuthorityRequest{}, "Authority": wire.Authority{}, "AuthorityList": wire.AuthorityList{},
	"PolicyInfo": wire.PolicyInfo{}, "PolicyList": wire.PolicyList{}, "Policy": wire.Policy{}, "PolicyRequest": wire.PolicyRequest{},
	"Statement": wire.Statement{}, "Decision": wire.Decision{}, "DecisionList": wire.DecisionList{},
	"PolicyTestRequest": wire.PolicyTestRequest{}, "PolicyDraft": wire.PolicyDraft{}, "PolicyCase": wire.PolicyCase{},
	"SettingsReply": wire.SettingsReply{}, "SettingsUpdateRequest": wire.SettingsUpdateRequest{},
	"Explanation": wire.Explanation{}, "ExplanationList": wire.ExplanationList{}, "Denial": wire.Denial{},
	"Who": wire.Who{}, "WhoList": wire.WhoList{},
	"Review": wire.Review{}, "ReviewCredential": wire.ReviewCredential{}, "ReviewList": wire.ReviewList{},
	"TokenLoginRequest": wire.TokenLoginRequest{}, "PasswordLoginRequest": wire.PasswordLoginRequest{}, "SessionCreated": wire.SessionCreated{},
	"LoginMethods": wire.LoginMethods{}, "LoginProvider": wire.LoginProvider{},
	"PasswordRequest": wire.PasswordRequest{}, "PasswordChangeRequest": wire.PasswordChangeRequest{},
	"Factor": wire.Factor{}, "FactorList": wire.FactorList{}, "FactorState": wire.FactorState{}, "FactorRequest": wire.FactorRequest{},
	"TOTPCreated": wire.TOTPCreated{}, "CodeRequest": wire.CodeRequest{}, "FactorCreated": wire.FactorCreated{},
	"RecoveryCodes": wire.RecoveryCodes{}, "SteppedUp": wire.SteppedUp{}, "Ceremony": wire.Ceremony{}, "CeremonyRequest": wire.CeremonyRequest{},
	"KeyRotated": api.KeyRotated{}, "Identity": api.Identity{},
	"ExportRequest": api.ExportRequest{}, "RedactRequest": api.RedactRequest{}, "Redacted": api.Redacted{},
	"RotationRequest": wire.RotationRequest{}, "Rotation": wire.Rotation{}, "RotationRecord": wire.RotationRecord{},
	"RotationStep": wire.RotationStep{}, "RotationHistory": wire.RotationHistory{}, "Retiring": wire.Retiring{},
	"Consumer": wire.Consumer{}, "ConsumerList": wire.ConsumerList{},
	"QuotasRequest": wire.QuotasRequest{}, "QuotasReply": wire.QuotasReply{}, "Quotas": secret.Quotas{}, "Use": secret.Use{},
	"AccessPolicy": secret.AccessPolicy{}, "Problem": wire.Problem{},
	"Event": wire.Event{}, "EventData": wire.EventData{},
	"Webhook": wire.Webhook{}, "WebhookList": wire.WebhookList{}, "WebhookCreated": wire.WebhookCreated{},
	"WebhookCreateRequest": wire.WebhookCreateRequest{}, "WebhookUpdateRequest": wire.WebhookUpdateRequest{},
	"Entry": audit.Entry{}, "EntryList": api.EntryList{},
	"ArchiveState": wire.ArchiveState{}, "ArchiveRequest": wire.ArchiveRequest{}, "SegmentRequest": wire.SegmentRequest{},
}

// valued are the bodies that carry a value beside the fields of their struct,
// and whether they must.
var valued = map[string]bool{"CreateRequest": true, "PutRequest": true, "RotateRequest": false, "ValueReply": true}

func schemas() object {
	out := object{
		"Document":    object{"type": "object", "description": "an OpenAPI document"},
		"Note":        object{"type": "string", "description": "a checkpoint as a signed note (C2SP tlog-checkpoint)"},
		"KeySet":      object{"type": "string", "description": "a key file for fastness audit verify"},
		"Bundle":      object{"type": "string", "description": "JSON lines: a bundle for fastness audit verify"},
		"Segment":     object{"type": "string", "description": "JSON lines: a segment for fastness audit verify"},
		"CedarSchema": object{"type": "string", "description": "a schema in Cedar's schema language"},
		"ReviewTable": object{"type": "string", "description": "comma-separated values (RFC 4180) under a line of names; what a spreadsheet would evaluate has an apostrophe before it"},
		"Proof":       object{"type": "object", "description": "a document for fastness audit verify: an inclusion or a consistency proof"},
	}
	for name, v := range bodies {
		s := schemaOf(reflect.TypeOf(v), true)
		if must, ok := valued[name]; ok {
			addValue(s, must)
		}
		out[name] = s
	}
	return out
}

func addValue(s object, must bool) {
	p := s["properties"].(object)
	p["value"] = object{"type": "string", "minLength": 1, "description": "text of 1 to 65536 bytes"}
	p["valueBase64"] = object{"type": "string", "contentEncoding": "base64", "minLength": 1,
		"description": "1 to 65536 bytes in padded base64"}
	if must {
		s["oneOf"] = []any{object{"required": []string{"value"}}, object{"required": []string{"valueBase64"}}}
	} else {
		s["not"] = object{"required": []string{"value", "valueBase64"}}
	}
}

// enums are types with few values, and strings with a form.
var enums = map[reflect.Type]object{
	reflect.TypeFor[time.Time]():         {"type": "string", "format": "date-time"},
	reflect.TypeFor[*secretbuf.Buffer](): {"type": "string", "format": "password"},
	reflect.TypeFor[json.RawMessage]():   {"type": "object"},
	reflect.TypeFor[secret.Algorithm]():  {"type": "string", "enum": []string{"aes-256-gcm", "hybrid-quantum"}},
	reflect.TypeFor[secret.Environment](): {
		"type": "string", "enum": []string{"dev", "staging", "prod"}},
	reflect.TypeFor[schedule.Interval](): {
		"type": "string", "enum": []string{"7d", "30d", "90d", "180d", "365d"}},
}

func schemaOf(t reflect.Type, top bool) object {
	if s, ok := enums[t]; ok {
		return s
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem(), false)
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Slice:
		return object{"type": "array", "items": schemaOf(t.Elem(), false)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": schemaOf(t.Elem(), false)}
	case reflect.Struct:
		if !top {
			return ref(t.Name())
		}
		if t == reflect.TypeFor[audit.Entry]() {
			return entrySchema()
		}
		properties, required := object{}, []string{}
		addFields(t, properties, &required)
		s := object{"type": "object", "properties": properties}
		if slices.Sort(required); len(required) > 0 {
			s["required"] = required
		}
		return s
	}
	panic("no schema for " + t.String())
}

func addFields(t reflect.Type, properties object, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			addFields(f.Type, properties, required)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		s := schemaOf(f.Type, false)
		if f.Tag.Get("wire") == "clearable" {
			s = object{"oneOf": []any{s, object{"type": "null"}}}
		}
		properties[name] = s
		if !strings.HasPrefix(options, "omit") {
			*required = append(*required, name)
		}
	}
}

// entrySchema follows what an entry encodes to: its struct has its own form.
func entrySchema() object {
	fields := func(e audit.Entry) (m map[string]any) {
		b, err := json.Marshal(e)
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err != nil {
			panic(err)
		}
		return m
	}
	properties, required := object{}, []string{}
	full := audit.Entry{
		Timestamp: time.Unix(1, 0), Version: "1", OldVersion: "1", NewVersion: "1", Count: 1, Target: "x", Nonce: "n",
		TreeSize: 1, Detail: "d", Redacted: true,
	}
	for name, v := range fields(full) {
		switch v.(type) {
		case string:
			properties[name] = object{"type": "string"}
		case float64:
			properties[name] = object{"type": "integer"}
		case bool:
			properties[name] = object{"type": "boolean"}
		}
	}
	properties["timestamp"] = object{"type": "string", "format": "date-time"}
	for name := range fields(audit.Entry{Timestamp: time.Unix(1, 0)}) {
		required = append(required, name)
	}
	slices.Sort(required)
	return object{"type": "object", "properties": properties, "required": required}
}
