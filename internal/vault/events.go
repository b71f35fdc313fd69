package vault

import (
	"slices"
	"strings"
	"time"

	"fastness/internal/audit"
	"fastness/internal/secret"
)

// What entries say in their details of labels, metadata and rotations. Events are
// read from them: whoever changes one of these changes what older entries mean.
const (
	labelDetail    = "label "   // and the one that was moved
	labelsDetail   = "labels\n" // and those of a new version, a line each
	changedDetail  = "changed"  // and what of the metadata
	promotedDetail = "promoted to "

	rotationDetail    = "rotation "
	rotationSet       = rotationDetail + "set"
	rotationPending   = rotationDetail + "pending"
	rotationAbandoned = rotationDetail + "abandoned"
	rotationStuck     = rotationDetail + "stuck"
	rotationFailed    = " failed"         // behind the step, and at the end or before
	rotationNext      = ", next attempt " // and a time, or
	rotationGivenUp   = ", stuck"
)

// labelsIn is what the entry of a new version says of its labels; empty for the
// usual one, AWSCURRENT alone.
func labelsIn(labels []secret.Label) string {
	if len(labels) == 1 && labels[0] == secret.Current {
		return ""
	}
	words := make([]string, len(labels))
	for i, l := range labels {
		words[i] = string(l)
	}
	return labelsDetail + strings.Join(words, "\n")
}

// isNews reports whether an entry with this action may be an event.
func isNews(a audit.Action) bool {
	switch a {
	case audit.Create, audit.Update, audit.Rotate, audit.Label, audit.Delete, audit.Restore, audit.Purge:
		return true
	}
	return false
}

// eventOf reads the event that an entry of the log is; ok is false for one that
// changed nothing that is told, and for one that was redacted.
func eventOf(e audit.Entry) (event secret.Event, ok bool) {
	event = secret.Event{ID: e.Seq, Time: e.Timestamp, Name: secret.Name(e.SecretName)}
	switch {
	case e.SecretName == "":
		return event, false
	case e.Result != audit.Success:
		tellFailure(&event, e)
	case e.NewVersion != "" && e.Action != audit.Label:
		tellVersion(&event, e)
	case e.Action == audit.Label:
		tellLabel(&event, e)
	default:
		tellRest(&event, e)
	}
	return event, event.Type != ""
}

// tellVersion reads the entry of a new version, or of one that a rotation has
// made the current one.
func tellVersion(event *secret.Event, e audit.Entry) {
	event.Version = versionOf(e.NewVersion)
	event.Labels = []secret.Label{secret.Current}
	if list, ok := strings.CutPrefix(e.Detail, labelsDetail); ok {
		event.Labels = nil
		for word := range strings.SplitSeq(list, "\n") {
			event.Labels = append(event.Labels, secret.Label(word))
		}
	}
	if e.Detail == rotationPending {
		event.Labels = []secret.Label{secret.Pending}
	}
	switch current := slices.Contains(event.Labels, secret.Current); {
	case e.Action == audit.Create:
		event.Type = secret.EventCreated
	case current && e.Action == audit.Rotate:
		event.Type = secret.EventRotated
	case current:
		event.Type = secret.EventChanged
	default:
		event.Type = secret.EventLabeled
	}
}

// tellLabel reads the entry of a label that was moved, or left where it was.
func tellLabel(event *secret.Event, e audit.Entry) {
	label := secret.Label(strings.TrimPrefix(e.Detail, labelDetail))
	event.Labels, event.Version = []secret.Label{label}, versionOf(e.NewVersion)
	switch {
	case e.NewVersion == e.OldVersion:
	case e.NewVersion == "":
		event.Type, event.Version = secret.EventUnlabeled, versionOf(e.OldVersion)
	case label == secret.Current:
		event.Type = secret.EventChanged
	default:
		event.Type = secret.EventLabeled
	}
}

// tellRest reads an entry that is not about one version.
func tellRest(event *secret.Event, e audit.Entry) {
	made, promoted := strings.CutPrefix(e.Detail, promotedDetail)
	switch {
	case e.Action == audit.Create:
		event.Type = secret.EventCreated // without a version
	case e.Action == audit.Update && promoted:
		event.Type, event.Name = secret.EventCreated, secret.Name(made)
	case e.Action == audit.Update && (e.Detail == rotationSet || strings.HasPrefix(e.Detail, changedDetail)):
		event.Type = secret.EventUpdated
	case e.Action == audit.Rotate && e.Detail == rotationAbandoned && e.OldVersion != "":
		event.Type, event.Labels, event.Version = secret.EventUnlabeled, []secret.Label{secret.Pending}, versionOf(e.OldVersion)
	case e.Action == audit.Delete:
		event.Type = secret.EventDeleted
	case e.Action == audit.Restore:
		event.Type = secret.EventRestored
	case e.Action == audit.Purge:
		event.Type = secret.EventPurged
	}
}

// tellFailure reads the entry of a rotation by itself that went wrong. Nobody is
// told of what somebody tried and was refused.
func tellFailure(event *secret.Event, e audit.Entry) {
	event.Failure = e.Error
	failed, next, again := strings.Cut(e.Detail, rotationNext)
	switch {
	case e.Action != audit.Rotate || !strings.HasPrefix(e.Detail, rotationDetail):
	case e.Detail == rotationStuck, strings.HasSuffix(e.Detail, rotationFailed+rotationGivenUp):
		event.Type = secret.EventRotationStuck
	case strings.HasSuffix(failed, rotationFailed):
		event.Type = secret.EventRotationFailed
	}
	if at, err := time.Parse(time.RFC3339, next); again && err == nil {
		event.NextAttempt = at
	}
}

// failedIn is what the entry of a step that failed says of it, with when it is
// tried again; zero is never.
func failedIn(step string, again time.Time) string {
	if again.IsZero() {
		return step + rotationFailed + rotationGivenUp
	}
	return step + rotationFailed + rotationNext + again.UTC().Format(time.RFC3339)
}

// versionOf is the inverse of versionText.
func versionOf(text string) secret.Version {
	v, err := secret.ParseVersion(text)
	if err != nil {
		return 0 // none, or of a log that was tampered with
	}
	return v
}
