package wire

import "time"

// ArchiveState tells what of the log was archived.
type ArchiveState struct {
	Size int64     `json:"size"`          // how many entries, from the first on
	Last time.Time `json:"last,omitzero"` // the newest timestamp among them
	At   time.Time `json:"at,omitzero"`   // when the last of them were
}

// SegmentRequest asks for the next segment to archive.
type SegmentRequest struct {
	Before time.Time `json:"before"` // older entries alone
}

// ArchiveRequest says that a segment is kept outside.
type ArchiveRequest struct {
	From   int64  `json:"from"`
	To     int64  `json:"to"`
	Root   string `json:"root"`   // of the tree of so many leaves, base64
	SHA256 string `json:"sha256"` // over the lines of its entries, in hexadecimal digits
}
