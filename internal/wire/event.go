package wire

import (
	"fmt"
	"strconv"
	"time"

	"fastness/internal/secret"
)

// EventSpec is the version of CloudEvents that events follow.
const EventSpec = "1.0"

// Event is an event in the JSON format of CloudEvents.
type Event struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`     // rises within the source, with gaps
	Source          string    `json:"source"` // the tenant's path in the API
	Type            string    `json:"type"`
	Subject         string    `json:"subject"` // the secret's name
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            EventData `json:"data"`
}

// EventData is what an event tells. It has no value.
type EventData struct {
	Name      string   `json:"name"`
	Version   string   `json:"version,omitzero"`   // absent if the event is about none
	VersionID string   `json:"versionId,omitzero"` // absent if the version is not stored any more
	Stages    []string `json:"stages,omitempty"`   // labels that were put on the version, or taken off
	Error     string   `json:"error,omitzero"`     // why a rotation failed
	// NextAttempt is when what failed is tried again.
	NextAttempt time.Time `json:"nextAttempt,omitzero"`
}

// EventSource is the source of a tenant's events.
func EventSource(t secret.TenantName) string { return "/api/v1/tenants/" + string(t) }

// EventOf returns the wire form of a tenant's event.
func EventOf(t secret.TenantName, e secret.Event) Event {
	return Event{
		SpecVersion: EventSpec, ID: strconv.FormatUint(e.ID, 10), Source: EventSource(t), Type: string(e.Type),
		Subject: string(e.Name), Time: e.Time.UTC(), DataContentType: "application/json",
		Data: EventData{
			Name: string(e.Name), Version: optionalText(e.Version), VersionID: string(e.VersionID),
			Stages: StagesOf(e.Labels), Error: e.Failure, NextAttempt: e.NextAttempt,
		},
	}
}

func optionalText(v secret.Version) string {
	if v == 0 {
		return ""
	}
	return v.String()
}

// Event returns what the client gives to its caller. Types that a newer server
// knows pass.
func (e Event) Event() (secret.Event, error) {
	id, err := strconv.ParseUint(e.ID, 10, 63)
	if err != nil || e.SpecVersion != EventSpec {
		return secret.Event{}, fmt.Errorf("reading an event: it is not of CloudEvents %s with a number for an id", EventSpec)
	}
	name, err := secret.ParseName(e.Data.Name)
	if err != nil {
		return secret.Event{}, err
	}
	version, err := optionalVersion(e.Data.Version)
	if err != nil {
		return secret.Event{}, err
	}
	return secret.Event{
		ID: id, Type: secret.EventType(e.Type), Time: e.Time, Name: name, Version: version,
		VersionID: secret.VersionID(e.Data.VersionID), Labels: LabelsOf(e.Data.Stages), Failure: e.Data.Error, NextAttempt: e.Data.NextAttempt,
	}, nil
}
