package vault

import (
	"cmp"
	"context"
	"slices"
	"time"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// Consumer is a principal that has read a secret's value.
type Consumer struct {
	Principal string
	Version   secret.Version // the newest one that it has read
	LastRead  time.Time      // the day on which it last did
	Behind    bool           // that version is older than the current one
}

// Consumers tells who has read which version of a secret, by principal. Our own
// reading is none. Of each version those of the last secret.MaxConsumers
// principals are known.
func (s *Session) Consumers(ctx context.Context, name secret.Name, limit int, cursor string) (Page[Consumer], error) {
	var page Page[Consumer]
	limit, err := pageSize(limit)
	if err != nil {
		return page, s.Refused(ctx, audit.Describe, name, err)
	}
	kind := "consumers\x00" + string(s.tenant) + "\x00" + string(name)
	after, err := s.vault.parseCursor(kind, cursor)
	if err != nil {
		return page, s.Refused(ctx, audit.Describe, name, err)
	}
	err = s.look(ctx, audit.Describe, name, func(r store.Reader, t *store.Tenant) error {
		page = Page[Consumer]{Items: []Consumer{}}
		sec, err := s.load(r, t, policy.Describe, name)
		if err != nil {
			return err
		}
		all, err := consumersOf(r, t, sec)
		if err != nil {
			return err
		}
		for _, c := range all {
			if c.Principal <= after {
				continue
			}
			if len(page.Items) == limit {
				page.Next = s.vault.cursor(kind, page.Items[limit-1].Principal)
				break
			}
			page.Items = append(page.Items, c)
		}
		return nil
	})
	return settled(page, err)
}

// consumersOf joins the reads of each principal, by name.
func consumersOf(r store.Reader, t *store.Tenant, sec *store.Secret) ([]Consumer, error) {
	rows, err := r.Secrets(t.ID).Consumers(sec.ID)
	if err != nil {
		return nil, err
	}
	newest := map[string]Consumer{}
	for _, row := range rows {
		if row.Principal == systemName {
			continue
		}
		c := newest[row.Principal]
		c.Principal, c.Version = row.Principal, max(c.Version, row.Version)
		if read := dayTime(row.Day); read.After(c.LastRead) {
			c.LastRead = read
		}
		newest[row.Principal] = c
	}
	all := make([]Consumer, 0, len(newest))
	for _, c := range newest {
		c.Behind = c.Version < sec.Labels[secret.Current]
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b Consumer) int { return cmp.Compare(a.Principal, b.Principal) })
	return all, nil
}
