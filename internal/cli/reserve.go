package cli

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"fastness/internal/reserve"
)

func (a *app) reserveCommand() *cobra.Command {
	return group("reserve", "Room kept on the disk of the embedded store", a.reserveReleaseCommand())
}

func (a *app) reserveReleaseCommand() *cobra.Command {
	var flags settingFlags
	var cmd *cobra.Command
	cmd = a.command("release", "Free the reserve of a disk that is full", func(context.Context, []string) error {
		c, err := flags.load(cmd, a.env.Getenv)
		if err != nil {
			return err
		}
		if c.dir == "" {
			return usagef("say where the embedded store is: --store sqlite:FOLDER")
		}
		released, err := reserve.Release(c.dir)
		if err != nil {
			return err
		}
		if a.global.json {
			return a.printJSON(struct {
				Released bool `json:"released"`
			}{released})
		}
		if !released {
			return a.say("there is no reserve: it was released before, or there was never room for it")
		}
		return a.say("released; make room now, the server takes it again once there is enough")
	})
	cmd.Long = `Remove the file that holds room on the disk of the embedded store, while its server
runs, so that what makes space can be recorded: "fastness audit archive", deletions,
or whatever else fills the disk. Nothing releases it by itself.

It needs no server and no credential, but the rights to the store's folder.`
	cmd.Example = `fastness reserve release --store sqlite:/var/lib/fastness
fastness reserve release --config /etc/fastness/fastness.toml`
	flags.add(cmd, "store")
	return cmd
}

// units of sizes.
var units = []struct {
	name string
	size int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}}

// setSize sets a number of bytes.
func setSize(field func(*serverConfig) *int64) func(*serverConfig, string) error {
	return func(c *serverConfig, v string) error {
		size, number := int64(1), v
		for _, u := range units {
			if rest, ok := strings.CutSuffix(v, u.name); ok {
				size, number = u.size, rest
			}
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 0 || n > (1<<50)/size || size == 1 && n != 0 {
			return errors.New("a size is expected: 64MiB, 1GiB, or 0 for none")
		}
		*field(c) = n * size
		return nil
	}
}
