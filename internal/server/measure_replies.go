//go:build !leak_replies && !measures_off

package server

// handReplies has answers go to the connection past the writers of net/http.
const handReplies = true
