//go:build leak_replies || measures_off

package server

// handReplies is a measure that this build, made for tests alone, leaves out.
const handReplies = false
