package secret

import (
	"slices"
	"strings"
	"time"
)

// EventType says what happened to a secret. The names are those of CloudEvents.
type EventType string

// The types of events. After the first three AWSCURRENT is on another version.
const (
	EventCreated EventType = "fastness.secret.created" // there was none of this name
	EventChanged EventType = "fastness.secret.changed" // by a new version, or by moving the label
	EventRotated EventType = "fastness.secret.rotated" // by a rotation, which is finished

	EventLabeled   EventType = "fastness.secret.labeled"   // other labels are on a version, which may be new
	EventUnlabeled EventType = "fastness.secret.unlabeled" // a label was taken off
	EventUpdated   EventType = "fastness.secret.updated"   // metadata, or how it rotates

	EventDeleted  EventType = "fastness.secret.deleted"  // is in its recovery window
	EventRestored EventType = "fastness.secret.restored" // is out of it again
	EventPurged   EventType = "fastness.secret.purged"   // is gone for good

	EventRotationFailed EventType = "fastness.rotation.failed" // a step failed, and is tried again
	EventRotationStuck  EventType = "fastness.rotation.stuck"  // nothing is tried any more without hands
)

// EventTypes returns all types, for documents and checks.
func EventTypes() []EventType {
	return []EventType{
		EventCreated, EventChanged, EventRotated, EventLabeled, EventUnlabeled, EventUpdated,
		EventDeleted, EventRestored, EventPurged, EventRotationFailed, EventRotationStuck,
	}
}

// MovesCurrent reports whether a value that was read before the event may not be
// the current one any more.
func (t EventType) MovesCurrent() bool {
	switch t {
	case EventCreated, EventChanged, EventRotated, EventDeleted, EventRestored, EventPurged:
		return true
	}
	return false
}

// ParseEventTypes reads types with commas between them; none if s is empty.
func ParseEventTypes(field, s string) ([]EventType, error) {
	if s == "" {
		return nil, nil
	}
	var types []EventType
	for word := range strings.SplitSeq(s, ",") {
		t := EventType(word)
		if !slices.Contains(EventTypes(), t) || slices.Contains(types, t) {
			return nil, Invalid(field, "types of events, each once, with commas between them")
		}
		types = append(types, t)
	}
	return types, nil
}

// Event tells that something has happened to a secret. It never holds a value.
type Event struct {
	ID        uint64 // rises within the tenant, with gaps; never 0
	Type      EventType
	Time      time.Time
	Name      Name
	Version   Version   // that it is about; 0 for none
	VersionID VersionID // empty if the version is not stored any more
	Labels    []Label   // that were put on the version, or taken off
	Failure   string    // of a rotation: its class, and what may be told of it
	// NextAttempt is when what failed is tried again; zero for never.
	NextAttempt time.Time
}
