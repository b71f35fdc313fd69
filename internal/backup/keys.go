package backup

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"

	"fastness/internal/secretbuf"
	"fastness/internal/vault"
)

// Keys is the material of the root key, and of the one before while it changes.
type Keys struct {
	Current  *secretbuf.Buffer
	Previous *secretbuf.Buffer // nil unless the root key is being changed
}

// maxKeyFile bounds files of recipients and identities: some hundred keys.
const maxKeyFile = 1 << 20

// ParseRecipients reads recipients, one in each text: age1… or age1pq….
func ParseRecipients(texts []string) ([]age.Recipient, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	return age.ParseRecipients(strings.NewReader(strings.Join(texts, "\n")))
}

// ReadIdentities reads files of identities, as age-keygen writes them.
func ReadIdentities(paths []string) (all []age.Identity, err error) {
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("reading identities: %w", err)
		}
		ids, err := parseIdentities(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("reading identities from %s: %w", path, err)
		}
		all = append(all, ids...)
	}
	return all, nil
}

// errIdentities does not say what stands in the file.
var errIdentities = errors.New("it is no file of age identities")

func parseIdentities(r io.Reader) (ids []age.Identity, err error) {
	text, err := secretbuf.ReadAll(r, maxKeyFile)
	if err != nil {
		return nil, err
	}
	defer text.Release()
	secretbuf.Do(func() { ids, err = age.ParseIdentities(bytes.NewReader(text.Bytes())) })
	if err != nil {
		return nil, errIdentities
	}
	return ids, nil
}

// seal encrypts the material to the recovery recipients: for each key its
// length in four bytes and the key.
func (k Keys) seal(recipients []age.Recipient) (blob []byte, err error) {
	secretbuf.Do(func() {
		var out bytes.Buffer
		w, failed := age.Encrypt(&out, recipients...)
		if failed != nil {
			err = failed
			return
		}
		for _, key := range []*secretbuf.Buffer{k.Current, k.Previous} {
			if key == nil {
				continue
			}
			_, e1 := w.Write(binary.BigEndian.AppendUint32(nil, uint32(key.Len())))
			_, e2 := w.Write(key.Bytes())
			err = errors.Join(err, e1, e2)
		}
		err = errors.Join(err, w.Close())
		blob = out.Bytes()
	})
	if err != nil {
		return nil, fmt.Errorf("encrypting the root key to the recovery recipients: %w", err)
	}
	return bytes.Clone(blob), nil
}

// openKeys is the inverse of seal.
func openKeys(blob []byte, identities []age.Identity) (k Keys, err error) {
	secretbuf.Do(func() {
		var r io.Reader
		if r, err = age.Decrypt(bytes.NewReader(blob), identities...); err != nil {
			return
		}
		if k.Current, err = readKey(r); err == nil {
			k.Previous, err = readKey(r)
		}
		if errors.Is(err, io.EOF) && k.Current != nil {
			err = nil
		}
	})
	if err != nil {
		k.release()
		return Keys{}, fmt.Errorf("opening the root key for recovery: %w", err)
	}
	return k, nil
}

func readKey(r io.Reader) (*secretbuf.Buffer, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxKeyFile {
		return nil, ErrDamaged
	}
	key := secretbuf.New(int(n))
	if _, err := io.ReadFull(r, key.Bytes()); err != nil {
		key.Release()
		return nil, ErrDamaged
	}
	return key, nil
}

func (k Keys) release() {
	if k.Current != nil {
		k.Current.Release()
	}
	if k.Previous != nil {
		k.Previous.Release()
	}
}

// of returns the keys that open a backup: the given ones, or else those that it
// brings along for recovery, if an identity opens them. The caller releases what
// is owned.
func (k Keys) of(h header, identities []age.Identity) (keys Keys, owned bool, err error) {
	if k.Current != nil {
		err = vault.ProveRoot(h.Deployment, h.Check, k.Current, k.Previous)
		if err == nil {
			return k, false, nil
		}
	} else {
		err = vault.ErrWrongRootKey
	}
	if h.Recovery == nil {
		return Keys{}, false, fmt.Errorf("the backup was made under another root key, and brings none along for recovery: %w", err)
	}
	keys, openErr := openKeys(h.Recovery, identities)
	if openErr != nil {
		return Keys{}, false, errors.Join(err, openErr)
	}
	if err := vault.ProveRoot(h.Deployment, h.Check, keys.Current, keys.Previous); err != nil {
		keys.release()
		return Keys{}, false, fmt.Errorf("%w: the root key that it brings along is another one", ErrDamaged)
	}
	return keys, true, nil
}
