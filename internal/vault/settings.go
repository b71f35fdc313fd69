package vault

import (
	"context"
	"fmt"
	"strings"
	"time"

	"fastness/internal/audit"
	"fastness/internal/policy"
	"fastness/internal/secret"
	"fastness/internal/store"
)

// Settings are a tenant's rules on second factors, with their version.
type Settings struct {
	policy.Settings
	Version int64 // how often they were changed
}

// SettingsPatch changes those settings that are not nil.
type SettingsPatch struct {
	MFAWindow   *time.Duration
	MFAForRead  *bool
	MFAForLogin *bool
	Expected    *int64 // the version that they must have; nil does not ask
}

// Settings tells the tenant's settings.
func (p *Policies) Settings(ctx context.Context) (Settings, error) {
	var found Settings
	err := p.view(ctx, p.entry(audit.SettingsRead), func(r store.Reader, t *store.Tenant) error {
		row, _, err := readSettings(r, t.ID)
		found = Settings{row.settings(), row.Version}
		return err
	})
	return settled(found, err)
}

// UpdateSettings changes the tenant's settings: the next request is decided by
// them.
func (p *Policies) UpdateSettings(ctx context.Context, patch SettingsPatch) (Settings, error) {
	var made Settings
	c := rulesChange{audit: audit.SettingsUpdate}
	err := p.session.changeRules(ctx, c, func(_ store.Tx, _ secret.TenantID, row *settingsRow) (string, error) {
		if patch.Expected != nil && *patch.Expected != row.Version {
			return "", secret.Conflict(fmt.Sprintf("the settings have version %d", row.Version))
		}
		old := row.settings()
		patch.apply(row)
		if err := row.settings().Validate(); err != nil {
			return "", err
		}
		row.Version++
		made = Settings{row.settings(), row.Version}
		return settingsChange(old, row.settings()), nil
	})
	return settled(made, err)
}

func (p SettingsPatch) apply(row *settingsRow) {
	if p.MFAWindow != nil {
		row.MFAWindow = *p.MFAWindow
	}
	if p.MFAForRead != nil {
		row.MFAForRead = *p.MFAForRead
	}
	if p.MFAForLogin != nil {
		row.MFAForLogin = *p.MFAForLogin
	}
}

// settingsChange tells the log what was before and what is now.
func settingsChange(old, now policy.Settings) string {
	var lines []string
	note := func(what string, before, after any) {
		if before != after {
			lines = append(lines, fmt.Sprintf("%s: %v -> %v", what, before, after))
		}
	}
	note("mfaWindow", old.Window(), now.Window())
	note("mfaForRead", old.MFAForRead, now.MFAForRead)
	note("mfaForLogin", old.MFAForLogin, now.MFAForLogin)
	if len(lines) == 0 {
		return "nothing changed"
	}
	return strings.Join(lines, "\n")
}
