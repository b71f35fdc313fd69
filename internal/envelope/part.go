package envelope

import (
	"encoding/binary"
	"fmt"

	"fastness/internal/secret"
	"fastness/internal/secretbuf"
)

// part is what one of the small things is, beside values, that a KEK seals
// directly: what it is bound to, and the label of the key that seals it.
type part struct {
	what    string // for errors
	label   string
	purpose string
	format  format
	tenant  secret.TenantID
	item    string
}

func accessKeyPart(tenant secret.TenantID, id string) part {
	return part{"access key", labelAccessKey, purposeAccessKey, formatAccessKey, tenant, id}
}

func documentPart(tenant secret.TenantID, kind, id string) part {
	return part{"document", labelDocument + kind, purposeDocument + kind, formatDocument, tenant, id}
}

// SealAccessKey seals the secret half of a tenant's AWS-style access key under
// k, bound to tenant and access key id.
func (k *KEK) SealAccessKey(tenant secret.TenantID, accessKeyID string, secretHalf []byte) ([]byte, error) {
	return k.sealPart(accessKeyPart(tenant, accessKeyID), secretHalf)
}

// OpenAccessKey opens what SealAccessKey sealed. Errors are as those of Open.
func (k *KEK) OpenAccessKey(tenant secret.TenantID, accessKeyID string, blob []byte) (*secretbuf.Buffer, error) {
	return k.openPart(accessKeyPart(tenant, accessKeyID), blob)
}

// SealDocument seals what of a tenant's document must not be read in the store,
// under k, bound to tenant, kind and id.
func (k *KEK) SealDocument(tenant secret.TenantID, kind, id string, plain []byte) ([]byte, error) {
	return k.sealPart(documentPart(tenant, kind, id), plain)
}

// OpenDocument opens what SealDocument sealed. Errors are as those of Open.
func (k *KEK) OpenDocument(tenant secret.TenantID, kind, id string, blob []byte) (*secretbuf.Buffer, error) {
	return k.openPart(documentPart(tenant, kind, id), blob)
}

func (k *KEK) sealPart(p part, plain []byte) ([]byte, error) {
	if k.Number == 0 {
		return nil, errKEKNumber
	}
	aad, err := p.context(k.Number).aad()
	if err != nil {
		return nil, fmt.Errorf("sealing %s: %w", p.what, err)
	}
	blob := header(p.format, algAES256GCM, numberSize+len(plain)+sealOverhead)
	blob = binary.BigEndian.AppendUint32(blob, k.Number)
	wrapKey := newScratch()
	defer wrapKey.wipe()
	secretbuf.Do(func() {
		if err = k.derive(wrapKey, p.label, p.item); err == nil {
			blob = seal(blob, &wrapKey.b, plain, aad)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("sealing %s: %w", p.what, err)
	}
	return blob, nil
}

func (k *KEK) openPart(p part, blob []byte) (*secretbuf.Buffer, error) {
	number, sealed, err := parsePart(blob, p.format)
	if err != nil {
		return nil, refuse(err)
	}
	if number != k.Number {
		return nil, refuse(fmt.Errorf("sealed under KEK %d, not %d", number, k.Number))
	}
	aad, err := p.context(number).aad()
	if err != nil {
		return nil, refuse(err)
	}
	plain := secretbuf.New(len(sealed) - sealOverhead)
	wrapKey := newScratch()
	defer wrapKey.wipe()
	secretbuf.Do(func() {
		if err = k.derive(wrapKey, p.label, p.item); err == nil {
			err = open(plain.Bytes(), &wrapKey.b, sealed, aad)
		}
	})
	if err != nil {
		plain.Release()
		return nil, refuse(fmt.Errorf("opening %s: %w", p.what, err))
	}
	return plain, nil
}

// AccessKeyKEK tells which KEK an access-key secret is sealed under.
func AccessKeyKEK(blob []byte) (number uint32, err error) {
	number, _, err = parsePart(blob, formatAccessKey)
	if err != nil {
		return 0, refuse(err)
	}
	return number, nil
}

func parsePart(blob []byte, f format) (number uint32, sealed []byte, err error) {
	rest, err := parseBlob(blob, f)
	if err != nil {
		return 0, nil, err
	}
	if len(rest) < numberSize+sealOverhead {
		return 0, nil, errLength
	}
	number = binary.BigEndian.Uint32(rest)
	if number == 0 {
		return 0, nil, errNumber
	}
	return number, rest[numberSize:], nil
}

func (p part) context(number uint32) sealContext {
	return sealContext{
		purpose: p.purpose, format: p.format, tenant: p.tenant,
		item: p.item, alg: algAES256GCM, number: number,
	}
}
