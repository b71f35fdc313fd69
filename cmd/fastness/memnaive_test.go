package main_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
)

func init() { roles["naive"] = serveNaively }

// naive answers as Fastness does, and is written as one would without a
// thought for memory: encoding/json, strings, a cipher for each call. What a
// search finds in it, and how much, shows what the search is worth.
type naive struct {
	kek []byte

	mu     sync.Mutex // guards sealed
	sealed map[string]naiveVersion
}

type naiveVersion struct{ dek, value []byte }

// naiveInstruction comes to it by stdin, with the keys masked.
type naiveInstruction struct {
	KEK  []byte
	DEKs [][]byte // in turn; then the first again
}

func serveNaively() error {
	var in naiveInstruction
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	n := &naive{kek: xored(in.KEK, masking), sealed: map[string]naiveVersion{}}
	next := 0
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /", func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Value string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		dek := xored(in.DEKs[next%len(in.DEKs)], masking)
		next++
		n.sealed[r.URL.Path] = naiveVersion{naiveSeal(n.kek, dek), naiveSeal(dek, []byte(body.Value))}
		w.WriteHeader(http.StatusCreated)
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		n.mu.Lock()
		v, ok := n.sealed[r.URL.Path]
		n.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		json.NewEncoder(w).Encode(map[string]string{"value": string(naiveOpen(naiveOpen(n.kek, v.dek), v.value))})
	})
	fmt.Println(l.Addr())
	return http.Serve(l, mux)
}

func naiveSeal(key, plain []byte) []byte {
	nonce := make([]byte, 12)
	rand.Read(nonce)
	return naiveAEAD(key).Seal(nonce, nonce, plain, nil)
}

func naiveOpen(key, sealed []byte) []byte {
	plain, err := naiveAEAD(key).Open(nil, sealed[:12], sealed[12:], nil)
	if err != nil {
		panic(err)
	}
	return plain
}

func naiveAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// startNaive starts a naive server for so many values, and returns its process
// number.
func startNaive(t testing.TB, values int) (*target, int) {
	t.Helper()
	on := &target{tenant: "shop"}
	in := naiveInstruction{KEK: noise(31, 32)}
	on.known = append(on.known, plant{kind: "KEK", bytes: in.KEK})
	in.KEK = xored(in.KEK, masking)
	for i := range values {
		dek := noise(uint64(1000+i), 32)
		on.known = append(on.known, plant{kind: "DEK", name: fmt.Sprint(i), bytes: dek})
		in.DEKs = append(in.DEKs, xored(dek, masking))
	}
	for i := range 16 {
		token := "fst_" + hex.EncodeToString(noise(uint64(2000+i), 24))
		on.tokens = append(on.tokens, token)
		on.known = append(on.known, plant{kind: "token", name: fmt.Sprint(i), bytes: []byte(token)})
	}
	cmd, address := startRole(t, "naive", in)
	on.address = address
	return on, cmd.Process.Pid
}
