package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// ANSI colors.
const (
	red   = "31"
	green = "32"
)

// paint colors a text if w is a terminal with colors, unless NO_COLOR is set
// (https://no-color.org). Consoles without colors have no TERM either.
func (a *app) paint(w io.Writer, color, text string) string {
	file, ok := w.(*os.File)
	if !ok || a.getenv("NO_COLOR") != "" || a.getenv("TERM") == "" || a.getenv("TERM") == "dumb" || !term.IsTerminal(int(file.Fd())) {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}
