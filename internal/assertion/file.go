package assertion

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// ReadFile reads a file that may hold a key, as far as a key can reach.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, FileError(path, err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxKeySize+1))
	if err != nil {
		return nil, FileError(path, err)
	}
	return data, nil
}

// FileError says what is the matter with a file, but does not repeat a path
// that may be the key itself, put where its path belongs.
func FileError(path string, err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	var link *os.LinkError
	if errors.As(err, &link) {
		err = link.Err
	}
	if len(path) > 255 || strings.ContainsAny(path, "\n\r{") || strings.Contains(path, "-----") || strings.Contains(path, `\n`) {
		return fmt.Errorf("what is given is no path but looks like a key (%w)", err)
	}
	return fmt.Errorf("%s: %w", path, err)
}
