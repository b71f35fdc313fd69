package vault

import (
	"context"
	"errors"
	"fmt"

	"fastness/internal/secret"
	"fastness/internal/store"
)

// rewrapDocuments seals the tenant's documents under its current key. One that
// does not open is passed over, and then keeps the rotation from ending, as with
// versions.
func (v *Vault) rewrapDocuments(ctx context.Context, t *store.Tenant) error {
	var at store.DocumentRef
	broken := 0
	for {
		failed, more, err := v.rewrapSomeDocuments(ctx, t, &at)
		if err != nil {
			return err
		}
		broken += failed
		if more {
			continue
		}
		if broken > 0 {
			return secret.ErrDecryption.With(fmt.Errorf("%d documents do not open; key %d is in use, and the old one kept for them", broken, t.Key))
		}
		return nil
	}
}

// rewrapSomeDocuments seals the next chunk of documents behind at, and says how
// many do not open, and whether there may be more.
func (v *Vault) rewrapSomeDocuments(ctx context.Context, t *store.Tenant, at *store.DocumentRef) (failed int, more bool, err error) {
	last := *at
	err = v.store.Update(ctx, func(tx store.Tx) error {
		failed = 0
		docs, err := tx.Documents().NotUnderKey(t.ID, t.Key, *at, rewrapChunk)
		if err != nil {
			return err
		}
		for _, d := range docs {
			err := v.rewrapDocument(tx, d)
			if errors.Is(err, secret.ErrDecryption) {
				v.log.ErrorContext(ctx, "stored document does not open", "tenant", t.Name, "kind", d.Kind, "cause", secret.Of(err).Cause)
				failed++
			} else if err != nil {
				return err
			}
			last = store.DocumentRef{Kind: d.Kind, ID: d.ID}
		}
		more = len(docs) == rewrapChunk
		return nil
	})
	if err != nil {
		return 0, false, v.answer(err)
	}
	*at = last
	return failed, more, nil
}

func (v *Vault) rewrapDocument(tx store.Tx, d *store.Document) error {
	plain, err := v.openSealed(tx, d)
	if err != nil {
		return err
	}
	defer plain.Release()
	if err := v.sealInto(tx, d, plain.Bytes()); err != nil {
		return err
	}
	return tx.EditDocuments().Update(d)
}
