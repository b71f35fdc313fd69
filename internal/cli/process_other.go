//go:build !unix

package cli

import (
	"errors"
	"os"
)

func catchSignals() (<-chan os.Signal, func()) { return nil, func() {} }

func fromTerminal(os.Signal) bool { return false }

func signalNamed(string) (os.Signal, bool) { return nil, false }

func startProcess(string, []string, []string) (Process, error) { return nil, errors.ErrUnsupported }
