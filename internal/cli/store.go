package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/store"
	"github.com/lineoauth/lineoauth/store/filestore"
)

// storeFlag names the directory of shared tokens.
type storeFlag struct {
	cmd *cobra.Command
	dir string
}

func newStoreFlag(cmd *cobra.Command, usage string) *storeFlag {
	f := &storeFlag{cmd: cmd}
	cmd.Flags().StringVar(&f.dir, "store", "", usage)
	_ = cmd.MarkFlagDirname("store")
	return f
}

// open opens the directory, or the default one.
func (f *storeFlag) open() (*filestore.Store, error) {
	if f.given() && f.dir == "" {
		return nil, usagef("--store is empty; leave it out, or name a directory")
	}
	files, err := filestore.New(filestore.Config{Dir: f.dir})
	if err != nil {
		return nil, fmt.Errorf("--store: %w", err)
	}
	return files, nil
}

// openIfGiven returns nil without the flag.
func (f *storeFlag) openIfGiven() (*filestore.Store, error) {
	if !f.given() {
		return nil, nil
	}
	return f.open()
}

func (f *storeFlag) given() bool { return f.cmd.Flags().Changed("store") }

// checkStore fails unless a token can be stored. It warns of a damaged one that
// was set aside.
func (a *app) checkStore(ctx context.Context, client *lineoauth.Client, st store.Store, kind lineoauth.Kind) error {
	err := client.CheckStore(ctx, st, kind)
	if errors.Is(err, store.ErrCorrupt) {
		a.warn(err)
		return nil
	}
	return err
}

// troubles are what a source reports of its store and its refreshes. The zero
// troubles are none.
type troubles struct {
	mu     sync.Mutex
	events []lineoauth.Event
}

func (t *troubles) note(e lineoauth.Event) {
	if e.Kind == lineoauth.EventStoreFailed || e.Kind == lineoauth.EventRefreshFailed {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.events = append(t.events, e)
	}
}

// besides returns what is worth a warning besides err, which may be nil.
func (t *troubles) besides(err error) (warnings []error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.events {
		// An error says what the attempts before it came to, too.
		if err == nil || e.Kind == lineoauth.EventStoreFailed && !strings.Contains(err.Error(), e.Err.Error()) {
			warnings = append(warnings, e.Err)
		}
	}
	return warnings
}
