package secretbuf

import "os"

// WipeEnv removes an environment variable and overwrites its value in the
// copies that this process has: Go's, and on Linux the block in which the
// kernel handed it over and which /proc/PID/environ shows. Values obtained
// from os.Getenv before share Go's copy and read as zeros afterwards.
//
// It must not run while another goroutine reads or changes the environment.
func WipeEnv(name string) {
	value, ok := os.LookupEnv(name)
	if !ok || !wipeEnviron {
		return
	}
	wipeEnvironBlock(name)
	WipeString(value)
	os.Unsetenv(name)
}
