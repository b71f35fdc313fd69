//go:build bench

package main_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Other work on the machine slows a server that waits for the disk far more
// than one that answers from memory, so rounds that it disturbs measure the
// other work. Of at most benchAttempts rounds, the benchRounds quietest count.
const (
	benchAttempts = 15
	// quietEnough is the share of the processors that may go to others.
	quietEnough = 0.05
)

// loaderTime is the processor time of all loaders so far.
var loaderTime time.Duration

// quietRounds runs rounds and calls what the quietest of them return. Its text
// says how much of the processors others took in them, if that was too much.
func quietRounds(t *testing.T, a, b *process, round func() (count func())) string {
	t.Helper()
	type attempt struct {
		others float64
		count  func()
	}
	var all []attempt
	for quiet := 0; len(all) < benchAttempts && quiet < benchRounds; {
		before, started := timeOfOthers(t, a, b), time.Now()
		count := round()
		others := float64(timeOfOthers(t, a, b)-before) / float64(time.Since(started)) / float64(runtime.NumCPU())
		all = append(all, attempt{others, count})
		if others <= quietEnough {
			quiet++
		}
	}
	slices.SortStableFunc(all, func(x, y attempt) int {
		if x.others < y.others {
			return -1
		}
		return 1
	})
	for _, at := range all[:benchRounds] {
		at.count()
	}
	if worst := all[benchRounds-1].others; worst > quietEnough {
		return fmt.Sprintf(", others took %.0f%% of the CPUs", 100*worst)
	}
	return ""
}

// tick is the unit of times in /proc: USER_HZ is 100 on all of Linux.
const tick = 10 * time.Millisecond

// timeOfOthers is the processor time since the start of the machine that went
// neither to this process and its loaders nor to the given ones.
func timeOfOthers(t *testing.T, processes ...*process) time.Duration {
	t.Helper()
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	total := int64(0)
	for i, field := range bytes.Fields(line)[1:9] { // guests are counted in user time
		if i != 3 && i != 4 { // idle, and idle while the disk works
			total += number(t, field)
		}
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		t.Fatal(err)
	}
	others := time.Duration(total)*tick - time.Duration(own.Utime.Nano()+own.Stime.Nano()) - loaderTime
	for _, p := range processes {
		if p != nil {
			others -= processTime(t, p)
		}
	}
	return others
}

// processTime is the processor time of a process so far.
func processTime(t *testing.T, p *process) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	// After the name, in parentheses, the 12th and 13th field are its times.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	return time.Duration(number(t, fields[11])+number(t, fields[12])) * tick
}

func number(t *testing.T, field []byte) int64 {
	t.Helper()
	n, err := strconv.ParseInt(string(field), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
