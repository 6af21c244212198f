package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// open opens the given or the default directory.
func (f *storeFlag) open() (*filestore.Store, error) {
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

// openIfThere returns nil without the flag if the default directory does not exist.
func (f *storeFlag) openIfThere() (*filestore.Store, error) {
	if !f.given() {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, nil
		}
		if _, err := os.Stat(filepath.Join(cache, "lineoauth")); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	return f.open()
}

func (f *storeFlag) given() bool { return f.cmd.Flags().Changed("store") }

// checkStore fails unless a token can be stored. It warns of a damaged token that was
// quarantined.
func (a *app) checkStore(ctx context.Context, client *lineoauth.Client, st store.Store, kind lineoauth.Kind) error {
	err := client.CheckStore(ctx, st, kind)
	switch {
	case errors.Is(err, store.ErrCorrupt):
		a.warn(err)
		return nil
	case errors.Is(err, fs.ErrPermission):
		return usagef("%w; %s", err, writableStore)
	case readOnly(err): // whose text has the advice
		return usagef("%w", err)
	}
	return err
}

// writableStore is the advice on a store that this user cannot use.
const writableStore = "set --store to a directory that this user can read and write"

// defaultStore describes the default of --store.
const defaultStore = "(default: lineoauth in the user's cache directory)"

// storedTokens are the tokens in a store, which may be nil.
type storedTokens struct {
	*app
	cfg   lineoauth.Config
	store *filestore.Store
	dir   string // as --store names it, if it does
}

// channelOf returns the channel under which a token may be stored.
func (s *storedTokens) channelOf(ctx context.Context, client *lineoauth.Client, token string) string {
	if s.store == nil {
		return ""
	}
	if v, err := client.VerifyChannelToken(ctx, token); err == nil {
		return v.ClientID
	}
	return s.cfg.ChannelID
}

// forget removes a token that LINE no longer accepts from the store.
func (s *storedTokens) forget(ctx context.Context, channelID, token string) {
	if s.store == nil || channelID == "" {
		return
	}
	// Without credentials, no new token is issued in its place.
	cfg := s.cfg
	cfg.ChannelID, cfg.ChannelSecret, cfg.Key, cfg.KeyID = channelID, lineoauth.Secret{}, nil, ""
	client, err := lineoauth.New(cfg)
	if err != nil {
		return // the channel ID of an unverified token
	}
	where := ""
	if s.dir != "" {
		where = " --store " + s.dir
	}
	for _, kind := range []lineoauth.Kind{lineoauth.V21, lineoauth.ShortLived, lineoauth.Stateless} {
		err := s.forgetKind(ctx, client, kind, token)
		if errors.Is(err, fs.ErrPermission) {
			s.warn(fmt.Errorf("cannot remove the token from the store: %w; %s", err, writableStore))
			return // as with the other kinds
		}
		if err != nil {
			s.warn(fmt.Errorf("cannot remove the token from the store: %w; replace it with lineoauth token --refresh --type %s%s", err, kind, where))
		}
	}
}

func (s *storedTokens) forgetKind(ctx context.Context, client *lineoauth.Client, kind lineoauth.Kind, token string) error {
	is := func(found *lineoauth.Token) bool { return found != nil && found.AccessToken.Reveal() == token }
	found, err := client.StoredToken(ctx, s.store, kind)
	if err != nil || !is(found) {
		return err
	}
	source, err := client.Source(lineoauth.SourceConfig{Kind: kind, Store: s.store})
	if err != nil {
		return err
	}
	defer source.Close()
	if _, err := source.Token(ctx); err != nil {
		return err
	}
	if _, err := source.Invalidate(ctx, token); err != nil {
		return err
	}
	if found, err = client.StoredToken(ctx, s.store, kind); err == nil && is(found) {
		err = errors.New("it is still stored")
	}
	return err
}

// problems collects the store and refresh errors that a source reports. The zero
// value is ready to use.
type problems struct {
	mu     sync.Mutex
	events []lineoauth.Event
}

func (p *problems) note(e lineoauth.Event) {
	if e.Kind == lineoauth.EventStoreFailed || e.Kind == lineoauth.EventRefreshFailed {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.events = append(p.events, e)
	}
}

// warnings returns the problems to warn of, without those that err, which may be nil,
// already contains.
func (p *problems) warnings(err error) (warnings []error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		// err also contains the errors of the attempts before it.
		if err == nil || e.Kind == lineoauth.EventStoreFailed && !strings.Contains(err.Error(), e.Err.Error()) {
			warnings = append(warnings, e.Err)
		}
	}
	return warnings
}
