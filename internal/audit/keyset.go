package audit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// KeyRange says which checkpoints a pair of keys signs: those of sizes From to
// To, both included. To is 0 for the current keys.
type KeyRange struct {
	From, To int64
	Keys     PublicKeys
}

// KeySet are the keys of one log in the order of their use. The ranges begin
// at 0 and leave no gap, and the last one is open. It is what a verifier
// trusts; its text is the file that `fastness audit keys` prints:
//
//	# any number of comment lines
//	origin NAME
//	0-4711 ED25519-KEY ML-DSA-44-KEY
//	4712- ED25519-KEY ML-DSA-44-KEY
type KeySet struct {
	Origin string
	Ranges []KeyRange
}

// For returns the keys that sign a checkpoint of this size.
func (ks KeySet) For(size int64) (PublicKeys, bool) {
	for _, r := range ks.Ranges {
		if size >= r.From && (size <= r.To || r.To == 0) {
			return r.Keys, true
		}
	}
	return PublicKeys{}, false
}

// Check refuses a set that does not have the form KeySet promises.
func (ks KeySet) Check() error {
	if err := CheckOrigin(ks.Origin); err != nil {
		return err
	}
	if len(ks.Ranges) == 0 {
		return errors.New("there are no keys")
	}
	var next int64
	for i, r := range ks.Ranges {
		last := i == len(ks.Ranges)-1
		switch {
		case r.Keys.Origin != ks.Origin:
			return fmt.Errorf("keys %d are of another log", i+1)
		case r.From != next:
			return fmt.Errorf("keys %d begin at size %d instead of %d", i+1, r.From, next)
		case last != (r.To == 0) || !last && r.To < r.From:
			return fmt.Errorf("keys %d have a wrong end: the last range is open, the others are not", i+1)
		}
		next = r.To + 1
	}
	return nil
}

// Rotated returns the set in which next signs from after size last, which is
// the last that the current keys signed.
func (ks KeySet) Rotated(last int64, next PublicKeys) KeySet {
	out := KeySet{Origin: ks.Origin, Ranges: append([]KeyRange(nil), ks.Ranges...)}
	out.Ranges[len(out.Ranges)-1].To = last
	out.Ranges = append(out.Ranges, KeyRange{From: last + 1, Keys: next})
	return out
}

// MarshalText writes the key file.
func (ks KeySet) MarshalText() ([]byte, error) {
	if err := ks.Check(); err != nil {
		return nil, fmt.Errorf("writing audit keys: %w", err)
	}
	var b strings.Builder
	b.WriteString("# Keys of a fastness audit log. Each line: the sizes of the checkpoints that\n" +
		"# the keys sign, the Ed25519 key, the ML-DSA-44 key.\n")
	fmt.Fprintf(&b, "origin %s\n", ks.Origin)
	for _, r := range ks.Ranges {
		ed, ml := r.Keys.VKeys()
		fmt.Fprintf(&b, "%s %s %s\n", formatRange(r.From, r.To), ed, ml)
	}
	return []byte(b.String()), nil
}

// maxKeyFile bounds a key file, and thereby a log's key rotations.
const maxKeyFile = 4 << 20

// ParseKeySet reads a key file. Comment and empty lines apart, it is strict.
func ParseKeySet(text []byte) (KeySet, error) {
	var ks KeySet
	if len(text) > maxKeyFile {
		return ks, errors.New("reading audit keys: the file is too long")
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if err := ks.parseLine(line); err != nil {
			return KeySet{}, fmt.Errorf("reading audit keys: line %d: %w", number, err)
		}
	}
	if err := ks.Check(); err != nil {
		return KeySet{}, fmt.Errorf("reading audit keys: %w", err)
	}
	return ks, nil
}

func (ks *KeySet) parseLine(line string) error {
	fields := strings.Split(line, " ")
	if ks.Origin == "" {
		if len(fields) != 2 || fields[0] != "origin" {
			return errors.New("the first line must be: origin NAME")
		}
		ks.Origin = fields[1]
		return CheckOrigin(ks.Origin)
	}
	if len(fields) != 3 {
		return errors.New("a line must be: FROM-TO ED25519-KEY ML-DSA-44-KEY")
	}
	from, to, err := parseRange(fields[0])
	if err != nil {
		return err
	}
	keys, err := ParsePublicKeys(fields[1], fields[2])
	if err != nil {
		return err
	}
	ks.Ranges = append(ks.Ranges, KeyRange{From: from, To: to, Keys: keys})
	return nil
}

func formatRange(from, to int64) string {
	if to == 0 {
		return fmt.Sprintf("%d-", from)
	}
	return fmt.Sprintf("%d-%d", from, to)
}

func parseRange(s string) (from, to int64, err error) {
	first, second, _ := strings.Cut(s, "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	var err2 error
	if second != "" {
		to, err2 = strconv.ParseInt(second, 10, 64)
	}
	if err1 != nil || err2 != nil || formatRange(from, to) != s {
		return 0, 0, errors.New("a range of sizes must be written 0-4711, or 4712- for the current keys")
	}
	return from, to, nil
}

// CheckRotations checks that each change of keys up to a tree of this size was
// logged under the signature of the keys before it: exactly one successful
// AuditKeysRotate entry of the deployment stands under the last checkpoint of
// the old keys, and it names the new ones. entries are all such entries of the
// log. Errors are *VerifyError.
func (ks KeySet) CheckRotations(entries []Entry, size int64) error {
	for i, r := range ks.Ranges {
		if r.To == 0 || r.To > size {
			break // the change lies beyond what we see
		}
		found := 0
		for _, e := range entries {
			// The entry counts in trees of size Index+1 and larger.
			if e.Index+1 < r.From || e.Index+1 > r.To {
				continue
			}
			found++
			if e.Detail != ks.Ranges[i+1].Keys.RotationDetail() {
				return &VerifyError{Kind: WrongKeys, Entry: true, Index: e.Index, Seq: e.Seq,
					Text: fmt.Sprintf("it announces other keys than the key file has from size %d on", r.To+1)}
			}
		}
		if found != 1 {
			return fault(WrongKeys, "%d entries instead of one announce the keys that the key file has from size %d on", found, r.To+1)
		}
	}
	return nil
}
