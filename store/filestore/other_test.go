//go:build !unix && !windows

package filestore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/filestore"
)

func TestNoLocks(t *testing.T) {
	_, err := filestore.New(filestore.Config{Dir: t.TempDir()})
	if !errors.Is(err, store.ErrInvalid) || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "no file locks") {
		t.Errorf("New: %v; want ErrInvalid and ErrUnsupported", err)
	}
}
