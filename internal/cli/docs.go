package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) docsCommand(root *cobra.Command) *cobra.Command {
	cmd := a.command("docs", "Print the reference of the command line in Markdown", func(context.Context, []string) error {
		return writeDocs(a.env.Stdout, root)
	})
	cmd.Example = "fastness docs > docs/cli.md"
	cmd.Hidden = true
	return cmd
}

// writeDocs writes docs/cli.md from the tree of commands and the table of
// settings.
func writeDocs(w io.Writer, root *cobra.Command) error {
	var b bytes.Buffer
	b.WriteString("# Command line\n\nThis page is generated from the program: `fastness docs > docs/cli.md`.\n\n")
	b.WriteString(root.Long + "\n\n")
	b.WriteString("stdout carries the answer and nothing else; questions, notes and errors go to stderr. Values\n" +
		"are never arguments. Every command takes these flags:\n\n")
	b.WriteString("```\n" + root.PersistentFlags().FlagUsagesWrapped(100) + "```\n\n")
	for _, g := range root.Groups() {
		fmt.Fprintf(&b, "## %s\n\n", strings.TrimSuffix(g.Title, ":"))
		for _, c := range root.Commands() {
			if c.GroupID == g.ID {
				documentTree(&b, c)
			}
		}
	}
	b.WriteString("## Others\n\n")
	for _, c := range root.Commands() {
		if c.GroupID == "" && !c.Hidden && c.Name() != "help" && c.Name() != "completion" {
			documentTree(&b, c)
		}
	}
	b.WriteString("### fastness completion SHELL\n\nPrint a script that completes commands and flags in bash, zsh, fish or powershell.\n\n" +
		"```sh\nsource <(fastness completion bash)\nfastness completion zsh > \"${fpath[1]}/_fastness\"\n```\n\n")
	documentSettings(&b)
	_, err := w.Write(b.Bytes())
	return err
}

func documentTree(b *bytes.Buffer, c *cobra.Command) {
	if c.Hidden {
		return
	}
	fmt.Fprintf(b, "### fastness %s\n\n%s\n\n", useLine(c), plainText(c))
	if c.Example != "" {
		fmt.Fprintf(b, "```sh\n%s\n```\n\n", c.Example)
	}
	flags := c.NonInheritedFlags()
	if c.HasParent() && hasFlags(flags) {
		b.WriteString("```\n" + flags.FlagUsagesWrapped(100) + "```\n\n")
	}
	for _, child := range c.Commands() {
		documentTree(b, child)
	}
}

// plainText is the long help. Indented blocks become Markdown's by their
// indentation; what Markdown would read as markup is put out of its reach.
func plainText(c *cobra.Command) string {
	text := firstOf(c.Long, c.Short+".")
	var out []string
	for _, paragraph := range strings.Split(text, "\n\n") {
		if strings.HasPrefix(paragraph, "  ") {
			paragraph = "```\n" + paragraph + "\n```"
		} else {
			paragraph = strings.NewReplacer("*", `\*`, "<", `\<`, "_", `\_`).Replace(paragraph)
		}
		out = append(out, paragraph)
	}
	return strings.Join(out, "\n\n")
}

func hasFlags(flags *pflag.FlagSet) (has bool) {
	flags.VisitAll(func(f *pflag.Flag) { has = has || !f.Hidden && f.Name != "help" })
	return has
}

func documentSettings(b *bytes.Buffer) {
	b.WriteString("## Settings of the server\n\n" +
		"Each is a key of the TOML file, a flag and a variable. A flag wins over a variable, and that over the file.\n\n" +
		"| key | flag | variable | default | meaning |\n| --- | --- | --- | --- | --- |\n")
	for i := range settings {
		s := &settings[i]
		initial := ""
		if s.initial != "" {
			initial = "`" + s.initial + "`"
		}
		fmt.Fprintf(b, "| `%s` | `--%s` | `%s` | %s | %s |\n", s.key, s.flag(), s.variable(), initial, s.help)
	}
	b.WriteString("\nA key with a dot stands in a table of the file: `[audit]`, then `anchor = …`. `FASTNESS_CONFIG` names the file too.\n")
}
