package secretbuf

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// placeholder is what every printing method gives.
const placeholder = "[secret]"

var errNoText = errors.New("a secret buffer cannot be read from text")

// String returns "[secret]".
func (*Buffer) String() string { return placeholder }

// GoString returns "[secret]".
func (*Buffer) GoString() string { return placeholder }

// Format prints "[secret]" for every verb and flag.
func (*Buffer) Format(f fmt.State, _ rune) { io.WriteString(f, placeholder) }

// LogValue logs "[secret]".
func (*Buffer) LogValue() slog.Value { return slog.StringValue(placeholder) }

// MarshalJSON returns the JSON string "[secret]". Values reach a wire format
// only through code that asks for their bytes.
func (*Buffer) MarshalJSON() ([]byte, error) { return []byte(`"` + placeholder + `"`), nil }

// MarshalText returns "[secret]".
func (*Buffer) MarshalText() ([]byte, error) { return []byte(placeholder), nil }

// UnmarshalJSON always fails: encoding/json would leave copies behind.
func (*Buffer) UnmarshalJSON([]byte) error { return errNoText }

// UnmarshalText always fails, for the same reason.
func (*Buffer) UnmarshalText([]byte) error { return errNoText }

// String returns "[secret]".
func (*Builder) String() string { return placeholder }

// GoString returns "[secret]".
func (*Builder) GoString() string { return placeholder }

// Format prints "[secret]" for every verb and flag.
func (*Builder) Format(f fmt.State, _ rune) { io.WriteString(f, placeholder) }

// LogValue logs "[secret]".
func (*Builder) LogValue() slog.Value { return slog.StringValue(placeholder) }

// MarshalJSON returns the JSON string "[secret]".
func (*Builder) MarshalJSON() ([]byte, error) { return []byte(`"` + placeholder + `"`), nil }

// MarshalText returns "[secret]".
func (*Builder) MarshalText() ([]byte, error) { return []byte(placeholder), nil }

// String returns "[secret]".
func (*Key) String() string { return placeholder }

// GoString returns "[secret]".
func (*Key) GoString() string { return placeholder }

// Format prints "[secret]" for every verb and flag.
func (*Key) Format(f fmt.State, _ rune) { io.WriteString(f, placeholder) }

// LogValue logs "[secret]".
func (*Key) LogValue() slog.Value { return slog.StringValue(placeholder) }

// MarshalJSON returns the JSON string "[secret]".
func (*Key) MarshalJSON() ([]byte, error) { return []byte(`"` + placeholder + `"`), nil }

// MarshalText returns "[secret]".
func (*Key) MarshalText() ([]byte, error) { return []byte(placeholder), nil }
