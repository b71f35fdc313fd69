package rotation

import (
	"encoding/json"
	"fmt"

	"fastness/internal/vault"
)

// Status is how a secret rotates by itself, and how it stands. It holds nothing
// of any value.
type Status struct {
	vault.Rotation
	Now  *Record  // of the rotation under way; nil if there is none
	Past []Record // of those that are over, newest first
}

// The states of a secret that are not those of a rotation.
const (
	StateIdle     State = "idle"     // nothing is to be done
	StateAsked    State = "asked"    // the worker has been told
	StateStarting State = "starting" // nothing is done yet, since it failed to begin
)

// State is that of the rotation under way, or why there is none.
func (s Status) State() State {
	switch {
	case s.Asked && (s.Now == nil || s.Stuck):
		return StateAsked
	case s.Now == nil:
		return StateIdle
	case s.Now.State == "":
		return StateStarting
	}
	return s.Now.State
}

// StatusOf reads the journal of what a method of vault.Session returned.
func StatusOf(r vault.Rotation, err error) (Status, error) {
	s := Status{Rotation: r}
	if err != nil {
		return s, err
	}
	if r.Active {
		s.Now = new(Record)
		if err := json.Unmarshal(r.Journal, s.Now); err != nil {
			return s, fmt.Errorf("reading the journal of a rotation: %w", err)
		}
	}
	s.Past = make([]Record, len(r.History))
	for i, entry := range r.History {
		if err := json.Unmarshal(entry, &s.Past[i]); err != nil {
			return s, fmt.Errorf("reading the journal of a rotation: %w", err)
		}
	}
	return s, nil
}
