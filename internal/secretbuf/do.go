package secretbuf

// How a build cleans up after Do.
const (
	erasingRuntime = "runtime"
	erasingStack   = "stack"
	erasingNothing = "nothing"
)

// Do calls f and erases what it leaves behind: registers and stack before Do
// returns, also when f panics; allocations that f made when the garbage
// collector finds them dead, which is made to look a second after the last call,
// and every five seconds while calls go on. It costs some 50 ns and some 400 ns
// for each allocation in f, so results are best allocated before. It does not
// cover goroutines that f starts, nor globals.
//
// So much in builds with GOEXPERIMENT=runtimesecret; [Erasing] tells. Other
// builds overwrite the stack alone: what HKDF, HMAC and HPKE allocate stays until
// its memory is used again.
func Do(f func()) {
	if cleans {
		defer process.use()
	}
	do(f)
}
