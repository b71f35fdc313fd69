package cli_test

import (
	"strings"
	"testing"
	"time"

	"fastness/internal/cli"
)

func TestProgress(t *testing.T) {
	const ms = time.Millisecond
	if got := cli.Bar(40, 3, []time.Duration{ms, 2 * ms, 3 * ms}); got != "" {
		t.Errorf("short work shows %q", got)
	}
	got := cli.Bar(40, 4, []time.Duration{ms, 600 * ms, 610 * ms, 620 * ms})
	want := "\rimporting [###########............] 2/4" + // the third step comes too soon after the second
		"\rimporting [#######################] 4/4" +
		"\r" + strings.Repeat(" ", 39) + "\r"
	if got != want {
		t.Errorf("long work shows %q, want %q", got, want)
	}
	for _, line := range strings.Split(cli.Bar(20, 1, []time.Duration{time.Second}), "\r") {
		if len(line) > 24 {
			t.Errorf("on a narrow terminal a line has %d columns", len(line))
		}
	}
}
