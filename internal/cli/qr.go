package cli

import (
	"errors"

	"rsc.io/qr"

	"fastness/internal/secretbuf"
)

// quietZone is how many light modules stand around a code.
const quietZone = 2

// drawQR draws a QR code in half blocks, two rows of modules a line, black on white
// whatever the terminal's colours are. The library takes a string and gives a
// bitmap, which both hold what is in the code: both are overwritten.
func drawQR(content *secretbuf.Buffer) (drawing *secretbuf.Buffer, err error) {
	var b secretbuf.Builder
	defer b.Release()
	secretbuf.Do(func() {
		text := secretbuf.String(content.Bytes())
		defer secretbuf.WipeString(text)
		code, cerr := qr.Encode(text, qr.L)
		if cerr != nil {
			err = errors.New("the code is too long to draw") // the library's error may quote it
			return
		}
		defer secretbuf.Wipe(code.Bitmap)
		for y := -quietZone; y < code.Size+quietZone; y += 2 {
			b.AppendString("\x1b[30;107m")
			for x := -quietZone; x < code.Size+quietZone; x++ {
				b.AppendString(halves(code.Black(x, y), code.Black(x, y+1)))
			}
			b.AppendString("\x1b[0m\n")
		}
		drawing = b.Buffer()
	})
	return drawing, err
}

// halves is the block of an upper and a lower module.
func halves(upper, lower bool) string {
	switch {
	case upper && lower:
		return "█"
	case upper:
		return "▀"
	case lower:
		return "▄"
	}
	return " "
}
