package audit

// NewSaltedRecord is NewRecord with salts of the test's choice, for vectors.
func NewSaltedRecord(e Entry, salts [2 * saltLen]byte) (Record, error) { return newRecord(e, salts) }

// CosignedMessage is what a checkpoint signs with ML-DSA-44.
func (c Checkpoint) CosignedMessage(timestamp uint64) []byte { return c.cosignedMessage(timestamp) }
