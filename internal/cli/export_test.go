package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fastness"
	"fastness/internal/secretbuf"
)

// Clean is clean.
func Clean(s string) string { return clean(s) }

// EnvName is envName.
func EnvName(name string) string { return envName(name) }

// Steers is steers.
func Steers(variable string) bool { return steers(variable) }

// ReadHidden is readHidden.
func ReadHidden(r io.Reader) (*secretbuf.Buffer, error) { return readHidden(r) }

// Pair is a name and its value, as tests compare them.
type Pair struct {
	Name   string
	Value  string
	Binary bool
}

func plain(pairs []pair, err error) ([]Pair, error) {
	var out []Pair
	for _, p := range pairs {
		out = append(out, Pair{p.name, string(p.value.Bytes()), p.binary})
	}
	releasePairs(pairs)
	return out, err
}

// ParseDotenv is parseDotenv.
func ParseDotenv(src []byte) ([]Pair, error) { return plain(parseDotenv(src)) }

// ParseJSONPairs is parseJSONPairs.
func ParseJSONPairs(src []byte) ([]Pair, error) { return plain(parseJSONPairs(src)) }

// AppendDotenv writes pairs in the dotenv form.
func AppendDotenv(pairs []Pair) (string, error) {
	var b secretbuf.Builder
	for _, p := range pairs {
		if err := appendDotenv(&b, p.Name, []byte(p.Value)); err != nil {
			return "", err
		}
	}
	return string(b.Bytes()), nil
}

// AppendJSONPairs writes pairs in the JSON form.
func AppendJSONPairs(pairs []Pair) (string, error) {
	var b secretbuf.Builder
	var in []pair
	for _, p := range pairs {
		in = append(in, pair{name: p.Name, value: secretbuf.Take([]byte(p.Value)), binary: p.Binary})
	}
	err := appendJSONPairs(&b, in)
	return string(b.Bytes()), err
}

// Settings lists key, flag and variable of each setting.
func Settings() (rows [][3]string) {
	for i := range settings {
		rows = append(rows, [3]string{settings[i].key, settings[i].flag(), settings[i].variable()})
	}
	return rows
}

// Command is what tests look at in each command of the tree.
type Command struct {
	Path, Example string
	Runs          bool
}

// Commands lists the tree.
func Commands() (all []Command) {
	for _, c := range walkCommands(newRoot(&app{})) {
		all = append(all, Command{c.CommandPath(), c.Example, !c.HasSubCommands()})
	}
	return all
}

// walkCommands lists a command and all below it.
func walkCommands(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, child := range c.Commands() {
		all = append(all, walkCommands(child)...)
	}
	return all
}

// PromptOnce asks this process's terminal for a value and prints it.
func PromptOnce() int {
	a := &app{env: System()}
	value, err := a.promptValue(context.Background(), "it")
	if err != nil {
		return a.report(err)
	}
	value.WriteTo(a.env.Stdout)
	return 0
}

// DevOn is "dev --json" on a database.
func DevOn(ctx context.Context, database string) int {
	a := &app{env: System(), global: globalFlags{json: true}}
	key := secretbuf.Take([]byte(strings.Repeat("0123456789abcdef", 4)))
	defer key.Release()
	log := a.logger(serverConfig{logFormat: "text", logLevel: slog.LevelWarn})
	v, err := fastness.Open(ctx, fastness.Config{Store: database, MasterKey: key, Logger: log, LoopbackIssuers: true})
	if err != nil {
		return a.report(err)
	}
	return a.report(errors.Join(a.serveDev(ctx, log, v, "127.0.0.1:0"), v.Close()))
}

// Bar drives a progress bar of width columns with a clock of its own: times
// are when each step is done. It returns what the terminal was sent.
func Bar(width, total int, times []time.Duration) string {
	var out strings.Builder
	start := time.Unix(0, 0)
	now := start
	p := &progress{w: &out, what: "importing", total: total, width: width, now: func() time.Time { return now }, started: start}
	for _, t := range times {
		now = start.Add(t)
		p.step()
	}
	p.end()
	return out.String()
}

// DrawQR is drawQR.
func DrawQR(text string) (string, error) {
	content := secretbuf.Take([]byte(text))
	defer content.Release()
	drawing, err := drawQR(content)
	if err != nil {
		return "", err
	}
	defer drawing.Release()
	return string(drawing.Bytes()), nil
}
