package client

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"fastness/internal/wire"
)

// getPage reads one page of a list and converts its items.
func getPage[W, T any](ctx context.Context, c *Client, r request, convert func(W) (T, error)) (Page[T], error) {
	var list wire.List[W]
	page := Page[T]{Items: []T{}}
	r.method, r.repeat = http.MethodGet, true
	if _, err := c.decode(ctx, r, &list); err != nil {
		return page, err
	}
	for _, w := range list.Items {
		t, err := convert(w)
		if err != nil {
			return page, fmt.Errorf("reading the reply: %w", err)
		}
		page.Items = append(page.Items, t)
	}
	page.Next = list.NextCursor
	return page, nil
}

// pageQuery is the part of a query that every list has.
func pageQuery(limit int, cursor string) url.Values {
	q := url.Values{}
	if limit != 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	return q
}

// List tells a page of the secrets that the caller may list, by name.
func (s *Session) List(ctx context.Context, q ListQuery) (Page[Info], error) {
	path, err := s.path(ctx, "secrets")
	if err != nil {
		return Page[Info]{}, err
	}
	query := pageQuery(q.Limit, q.Cursor)
	for name, value := range map[string]string{"prefix": q.Prefix, "tagKey": q.TagKey, "tagValue": q.TagValue} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if q.Due {
		query.Set("due", "true")
	}
	if q.Deleted {
		query.Set("deleted", "true")
	}
	return getPage(ctx, s.client, request{path: path, query: query}, wire.Secret.Info)
}

// All tells every secret that List would, page by page. It ends with the first
// error.
func (s *Session) All(ctx context.Context, q ListQuery) iter.Seq2[Info, error] {
	return Each(func(cursor string) (Page[Info], error) {
		q.Cursor = cursor
		return s.List(ctx, q)
	})
}

// Due tells a page of the secrets whose required rotation is due.
func (s *Session) Due(ctx context.Context, limit int, cursor string) (Page[Info], error) {
	path, err := s.path(ctx, "due")
	if err != nil {
		return Page[Info]{}, err
	}
	return getPage(ctx, s.client, request{path: path, query: pageQuery(limit, cursor)}, wire.Secret.Info)
}

// Versions tells a page of a secret's versions by number.
func (s *Session) Versions(ctx context.Context, name Name, limit int, cursor string) (Page[VersionInfo], error) {
	path, err := s.secretPath(ctx, name, "versions")
	if err != nil {
		return Page[VersionInfo]{}, err
	}
	return getPage(ctx, s.client, request{path: path, query: pageQuery(limit, cursor)}, wire.VersionInfo.Info)
}

// Each walks a list's pages from the first: next returns the page at a cursor.
// The walk ends after the first error.
func Each[T any](next func(cursor string) (Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for cursor := ""; ; {
			page, err := next(cursor)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if cursor = page.Next; cursor == "" {
				return
			}
		}
	}
}
