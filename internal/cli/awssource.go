package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
	"fastness/internal/wire"
)

const (
	// maxAWSReply bounds the answer with one value: 64 KiB, each byte of it
	// escaped, and some names.
	maxAWSReply = 1 << 20
	// awsAttempts is more than the SDK's default: AWS slows down who lists
	// versions of many secrets. A source that is not there is noticed before.
	awsAttempts      = 8
	awsFirstAttempts = 3
)

// awsFlags say which account's secrets are read.
type awsFlags struct {
	endpoint, region, profile string
	filters                   []string
}

// awsSource reads secrets by the AWS protocol.
type awsSource struct{ sm *secretsmanager.Client }

// awsSecret is a secret there, without its versions.
type awsSecret struct {
	arn, name, description string
	tags                   map[string]string
	rotation               *types.RotationRulesType // nil unless it rotates by itself
}

// awsVersion is one of its versions, without its value.
type awsVersion struct {
	id      secret.VersionID
	created time.Time
	labels  []secret.Label // sorted, never nil
}

// open finds endpoint, region and credentials as AWS's own tools do, and
// refuses an endpoint that would show values to the network.
func (f *awsFlags) open(ctx context.Context) (*awsSource, error) {
	options := []func(*config.LoadOptions) error{config.WithRetryMaxAttempts(awsAttempts)}
	if f.region != "" {
		options = append(options, config.WithRegion(f.region))
	}
	if f.profile != "" {
		options = append(options, config.WithSharedConfigProfile(f.profile))
	}
	c, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of AWS: %w", err)
	}
	sm := secretsmanager.NewFromConfig(c, func(o *secretsmanager.Options) {
		if f.endpoint != "" {
			o.BaseEndpoint = &f.endpoint
		}
	})
	if sm.Options().Region == "" {
		return nil, usagef("no region: give --region, AWS_REGION or a profile that has one")
	}
	return &awsSource{sm}, checkEndpoint(aws.ToString(sm.Options().BaseEndpoint))
}

// checkEndpoint refuses plain http but to this machine; empty is AWS's own.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || endpoint != "" && (u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return usagef("--endpoint-url is a URL as in https://host")
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if u.Scheme == "http" && u.Hostname() != "localhost" && (err != nil || !ip.IsLoopback()) {
		return usagef("refusing plain http to %s: it would show every value to the network", u.Host)
	}
	return nil
}

// parseFilters reads KEY=TEXT; several texts of one key stand side by side.
func (f *awsFlags) parseFilters() ([]types.Filter, error) {
	var filters []types.Filter
	for _, text := range f.filters {
		key, value, ok := strings.Cut(text, "=")
		kind := types.FilterNameStringType(key)
		if !ok || value == "" || !slices.Contains(kind.Values(), kind) {
			return nil, usagef("--filter is KEY=TEXT with one of the keys %v", kind.Values())
		}
		at := slices.IndexFunc(filters, func(g types.Filter) bool { return g.Key == kind })
		if at < 0 {
			at = len(filters)
			filters = append(filters, types.Filter{Key: kind})
		}
		filters[at].Values = append(filters[at].Values, value)
	}
	return filters, nil
}

// list tells all secrets that pass the filters, by name.
func (s *awsSource) list(ctx context.Context, filters []types.Filter) ([]awsSecret, error) {
	var found []awsSecret
	pages := secretsmanager.NewListSecretsPaginator(s.sm, &secretsmanager.ListSecretsInput{Filters: filters, MaxResults: aws.Int32(100)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx, func(o *secretsmanager.Options) { o.RetryMaxAttempts = awsFirstAttempts })
		if err != nil {
			return nil, fromAWS(err)
		}
		for _, entry := range page.SecretList {
			found = append(found, awsSecretOf(entry))
		}
	}
	slices.SortFunc(found, func(a, b awsSecret) int { return strings.Compare(a.name, b.name) })
	return found, nil
}

func awsSecretOf(e types.SecretListEntry) awsSecret {
	s := awsSecret{arn: aws.ToString(e.ARN), name: aws.ToString(e.Name), description: aws.ToString(e.Description), tags: map[string]string{}}
	for _, t := range e.Tags {
		s.tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	if aws.ToBool(e.RotationEnabled) {
		s.rotation = e.RotationRules
	}
	return s
}

// versions tells a secret's versions, those without labels too, oldest first.
func (s *awsSource) versions(ctx context.Context, arn string) ([]awsVersion, error) {
	var found []awsVersion
	pages := secretsmanager.NewListSecretVersionIdsPaginator(s.sm, &secretsmanager.ListSecretVersionIdsInput{
		SecretId: &arn, IncludeDeprecated: aws.Bool(true), MaxResults: aws.Int32(100)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fromAWS(err)
		}
		for _, v := range page.Versions {
			id, err := secret.ParseVersionID(aws.ToString(v.VersionId))
			if err != nil {
				return nil, err
			}
			found = append(found, awsVersion{id: id, created: aws.ToTime(v.CreatedDate), labels: labelsFrom(v.VersionStages)})
		}
	}
	slices.SortStableFunc(found, func(a, b awsVersion) int { return a.created.Compare(b.created) })
	return found, nil
}

func labelsFrom(stages []string) []secret.Label {
	labels := make([]secret.Label, len(stages))
	for i, stage := range stages {
		labels[i] = secret.Label(stage)
	}
	slices.Sort(labels)
	return labels
}

// value reads a version's value, which the caller releases.
func (s *awsSource) value(ctx context.Context, arn string, id secret.VersionID) (*secretbuf.Buffer, secret.Kind, error) {
	l := &lifter{}
	defer l.release()
	_, err := s.sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn, VersionId: aws.String(string(id))},
		func(o *secretsmanager.Options) { l.next, o.HTTPClient = o.HTTPClient, l })
	if err != nil {
		return nil, 0, fromAWS(err)
	}
	return l.take()
}

// lifter is an HTTP client that lifts the value out of an answer before the SDK
// reads it, which would make a string of it.
type lifter struct {
	next  secretsmanager.HTTPClient
	found struct {
		Text   *secretbuf.Buffer `json:"SecretString"`
		Binary *secretbuf.Buffer `json:"SecretBinary"`
	}
	rest *secretbuf.Buffer // the answer without the value
}

// Do sends a request. It may be called again, for another attempt.
func (l *lifter) Do(r *http.Request) (*http.Response, error) {
	response, err := l.next.Do(r)
	if err != nil || response.StatusCode != http.StatusOK {
		return response, err
	}
	defer response.Body.Close()
	l.release()
	if l.rest, err = secretbuf.ReadAll(response.Body, maxAWSReply); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if err := wire.DecodeKnown(l.rest, &l.found); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	closeGap(l.rest)
	response.Body = io.NopCloser(bytes.NewReader(l.rest.Bytes()))
	return response, nil
}

// closeGap takes out the zeros that a value has left. JSON has no others.
func closeGap(b *secretbuf.Buffer) {
	n := 0
	for _, c := range b.Bytes() {
		if c != 0 {
			b.Bytes()[n] = c
			n++
		}
	}
	b.Truncate(n)
}

// take gives the value away.
func (l *lifter) take() (*secretbuf.Buffer, secret.Kind, error) {
	if l.found.Binary != nil {
		value, err := wire.FromBase64("SecretBinary", l.found.Binary)
		return value, secret.Binary, err
	}
	if l.found.Text == nil {
		return nil, 0, errors.New("AWS: the answer has no value")
	}
	value := l.found.Text
	l.found.Text = nil
	return value, secret.Text, nil
}

func (l *lifter) release() {
	l.found.Text.Release()
	l.found.Binary.Release()
	l.rest.Release()
	l.found.Text, l.found.Binary, l.rest = nil, nil, nil
}

// awsError is a refusal by the source.
type awsError struct{ operation, code, message string }

// Error says which operation was refused and why.
func (e *awsError) Error() string {
	return fmt.Sprintf("AWS refuses %s: %s: %s", e.operation, e.code, e.message)
}

// stranger reports whether the source does not know the caller, who is then
// refused everything.
func (e *awsError) stranger() bool {
	return slices.Contains([]string{"UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignatureException",
		"MissingAuthenticationTokenException", "InvalidClientTokenId", "ExpiredTokenException"}, e.code)
}

// fromAWS words an error of the SDK for people.
func fromAWS(err error) error {
	var operation *smithy.OperationError
	var answer smithy.APIError
	var dial *net.OpError
	switch {
	case !errors.As(err, &operation):
		return err
	case errors.As(err, &answer):
		return &awsError{operation.Operation(), answer.ErrorCode(), answer.ErrorMessage()}
	case errors.As(err, &dial):
		return dial // which says whom it did not reach
	}
	return fmt.Errorf("asking AWS: %w", operation.Unwrap())
}
