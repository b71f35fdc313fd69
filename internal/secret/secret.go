// Package secret is the vocabulary of Fastness: typed names and numbers,
// metadata, limits, validation and the sentinel errors that every other
// package speaks in. It holds no value of a secret (see package secretbuf) and
// does no input or output.
//
// Distinct things have distinct types, so that a tenant's name cannot be
// passed where a secret's is wanted. Text from outside becomes one of these
// types only through a Parse function, which enforces the limit and names it
// in the error. Start with names.go, then metadata.go and errors.go.
package secret
