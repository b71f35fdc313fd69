package awsapi

import (
	"crypto/rand"
	"strings"

	"fastness/internal/secretbuf"
)

// Limits of a random password.
const (
	defaultPassword = 32
	maxPassword     = 4096
	maxExcluded     = 4096
)

// The types of character that a random password is made of.
const (
	lowercase   = "abcdefghijklmnopqrstuvwxyz"
	uppercase   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	numbers     = "0123456789"
	punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
)

// passwordRequest are the switches of GetRandomPassword.
type passwordRequest struct {
	PasswordLength          *int64 `json:"PasswordLength"`
	ExcludeCharacters       string `json:"ExcludeCharacters"`
	ExcludeNumbers          bool   `json:"ExcludeNumbers"`
	ExcludePunctuation      bool   `json:"ExcludePunctuation"`
	ExcludeUppercase        bool   `json:"ExcludeUppercase"`
	ExcludeLowercase        bool   `json:"ExcludeLowercase"`
	IncludeSpace            bool   `json:"IncludeSpace"`
	RequireEachIncludedType *bool  `json:"RequireEachIncludedType"`
}

// alphabet returns the characters to draw from, and for each of them the bit of
// its type in required; a space is of no type that can be required.
func (r passwordRequest) alphabet() (characters string, types []byte, required byte) {
	for bit, t := range []struct {
		out        bool
		characters string
	}{
		{r.ExcludeLowercase, lowercase},
		{r.ExcludeUppercase, uppercase},
		{r.ExcludeNumbers, numbers},
		{r.ExcludePunctuation, punctuation},
	} {
		if t.out {
			continue
		}
		for _, c := range []byte(t.characters) {
			if strings.IndexByte(r.ExcludeCharacters, c) < 0 {
				characters += string(rune(c))
				types = append(types, 1<<bit)
				required |= 1 << bit
			}
		}
	}
	if r.IncludeSpace && !strings.Contains(r.ExcludeCharacters, " ") {
		characters += " "
		types = append(types, 0)
	}
	return characters, types, required
}

// make draws a password. Every one that the switches allow is as likely as any
// other: characters are drawn alike, and a password that lacks a required type is
// thrown away whole. The caller releases the result.
func (r passwordRequest) make() (*secretbuf.Buffer, error) {
	length := int64(defaultPassword)
	if r.PasswordLength != nil {
		length = *r.PasswordLength
	}
	if length < 1 || length > maxPassword {
		return nil, validation("passwordLength", "Member must have value between 1 and 4096, inclusive")
	}
	if len(r.ExcludeCharacters) > maxExcluded {
		return nil, validation("excludeCharacters", "Member must have length less than or equal to 4096")
	}
	characters, types, required := r.alphabet()
	if len(characters) == 0 {
		return nil, invalidParameter("The switches exclude every character.")
	}
	if r.RequireEachIncludedType != nil && !*r.RequireEachIncludedType {
		required = 0
	}
	need := int64(0)
	for bits := required; bits != 0; bits &= bits - 1 {
		need++
	}
	if length < need {
		return nil, invalidParameter("Password length is too short based on the required types.")
	}
	out := secretbuf.New(int(length))
	for !draw(out.Bytes(), characters, types, required) {
	}
	return out, nil
}

// draw fills dst with characters drawn alike, and reports whether they include
// every required type.
func draw(dst []byte, characters string, types []byte, required byte) bool {
	seen := byte(0)
	secretbuf.Do(func() {
		var random [64]byte
		defer secretbuf.Wipe(random[:])
		for filled := 0; filled < len(dst); {
			rand.Read(random[:])
			for _, b := range random {
				// The alphabet has at most 95 characters: what falls beyond it
				// is drawn again, so that none is favoured.
				if i := int(b & 127); i < len(characters) && filled < len(dst) {
					dst[filled] = characters[i]
					seen |= types[i]
					filled++
				}
			}
		}
	})
	return seen&required == required
}
