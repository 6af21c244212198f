package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth"
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
	store, err := filestore.New(filestore.Config{Dir: f.dir})
	if err != nil {
		return nil, fmt.Errorf("--store: %w", err)
	}
	return store, nil
}

// openIfGiven returns nil without the flag.
func (f *storeFlag) openIfGiven() (*filestore.Store, error) {
	if !f.given() {
		return nil, nil
	}
	return f.open()
}

func (f *storeFlag) given() bool { return f.cmd.Flags().Changed("store") }

// storedToken returns the token of a store, be it alive or not, nil if there is
// none. Of what was set aside it warns.
func (a *app) storedToken(ctx context.Context, client *lineoauth.Client, store lineoauth.Store, kind lineoauth.Kind) (*lineoauth.Token, error) {
	token, err := client.StoredToken(ctx, store, kind)
	if errors.Is(err, lineoauth.ErrStoreCorrupt) {
		a.warn(err)
		return nil, nil
	}
	return token, err
}

// troubles are what a source reports of its store and its refreshes. The zero
// troubles are none.
type troubles struct {
	mu   sync.Mutex
	errs []error
}

func (t *troubles) note(e lineoauth.Event) {
	if e.Kind == lineoauth.EventStoreFailed || e.Kind == lineoauth.EventRefreshFailed {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.errs = append(t.errs, e.Err)
	}
}

// except leaves out what err says anyway.
func (t *troubles) except(err error) []error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(t.errs), func(trouble error) bool { return errors.Is(err, trouble) })
}
