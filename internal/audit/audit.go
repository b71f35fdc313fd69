// Package audit is the deployment's tamper-evident log as pure logic: the
// entry and its stored form, the Merkle tree and each tenant's hash chain,
// checkpoints with two signatures, proofs, the export bundle and the verifier.
// It stores nothing, reads no clock and starts no goroutine.
//
// An entry lives through three states. NewRecord turns an Entry into a Record,
// which commits in the same transaction as what it describes. Sequence later
// gives records their leaf index in the deployment's tree and their number in
// their tenant's chain, and says which tiles of the tree changed. A signed
// Checkpoint then fixes the tree's size and root.
//
// A leaf holds only what names no person, two random salts' worth of hiding,
// and a salted commitment to the personal part, which is kept beside the leaf
// and can be deleted (Record.Redact) without breaking any hash.
//
// Verify trusts nothing but the KeySet it is given, accepts exactly one byte
// form of a bundle, and names what does not hold in a *VerifyError.
//
// Start with entry.go and record.go, then sequence.go, checkpoint.go,
// bundle.go and verify.go.
package audit
