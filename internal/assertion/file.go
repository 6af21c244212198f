package assertion

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
	"unicode"
)

// pipeWait is how long to wait for a named pipe.
const pipeWait = time.Second

// ErrPipe is returned for a pipe that nobody writes, or closes.
var ErrPipe = fmt.Errorf("the pipe was not written and closed within %v", pipeWait)

// ReadFile reads a file that may contain a key, up to the maximum size of a key. It
// does not wait forever for a pipe without a writer.
func ReadFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonBlocking, 0) //nolint:gosec // the user names the file
	if err != nil {
		return nil, FileError(path, err)
	}
	defer func() { _ = f.Close() }()
	r := io.Reader(f)
	if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		until := time.Now().Add(pipeWait)
		_ = f.SetReadDeadline(until) // if deadlines are not supported, reads do not block
		r = &pipe{file: f, until: until, named: info.Mode()&fs.ModeNamedPipe != 0}
	}
	data, err := io.ReadAll(io.LimitReader(r, maxKeySize+1))
	if err != nil {
		return nil, FileError(path, err)
	}
	return data, nil
}

// pipe reads a nonblocking file until a deadline.
type pipe struct {
	file  *os.File
	until time.Time
	named bool // a pipe also returns EOF while it has no writer
	began bool
}

func (p *pipe) Read(b []byte) (int, error) {
	for {
		n, err := p.file.Read(b)
		p.began = p.began || n > 0
		early := errors.Is(err, io.EOF) && p.named && !p.began
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), (early || wouldBlock(err)) && !time.Now().Before(p.until):
			return n, ErrPipe
		case n > 0 || !early && !wouldBlock(err):
			return n, err
		}
		time.Sleep(pipeWait / 100)
	}
}

// FileError describes an error of a file, without a path that may be a misplaced key
// or secret.
func FileError(path string, err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		err = link.Err
	}
	switch {
	case LooksLikeKey(path):
		return fmt.Errorf("the path looks like a key (%w)", err)
	case looksLikeSecret(path):
		return fmt.Errorf("the path, which is not shown as it may be a secret: %w", err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// LooksLikeKey reports whether a path is likely the key itself.
func LooksLikeKey(path string) bool {
	return len(path) > 255 || strings.ContainsAny(path, "\n\r{") || strings.Contains(path, "-----") || strings.Contains(path, `\n`)
}

// looksLikeSecret reports whether a path may be a channel secret or a token: a JWT, one
// word with digits, or with a part of alternating letters and digits.
func looksLikeSecret(path string) bool {
	if strings.HasPrefix(path, "eyJ") {
		return true
	}
	if !strings.ContainsAny(path, `/\.`) && (len(path) > 16 || strings.ContainsAny(path, "0123456789")) {
		return true
	}
	for part := range strings.FieldsFuncSeq(path, func(r rune) bool { return strings.ContainsRune(`/\.`, r) }) {
		turns, digit := 0, false
		for _, r := range part {
			if unicode.IsDigit(r) != digit {
				digit = !digit
				turns++
			}
		}
		if len(part) >= 16 && turns > 4 {
			return true
		}
	}
	return false
}
