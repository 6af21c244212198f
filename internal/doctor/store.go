package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/env"
	"github.com/lineoauth/lineoauth/store/filestore"
)

// checkStore checks the directory of the shared token, if it exists.
func (e *examination) checkStore(ctx context.Context) {
	const readers, writable, stored = "store readers", "store writable", "stored token"
	skip := func(why string, names ...string) {
		for _, name := range names {
			e.skip(name, "%s", why)
		}
	}
	dir := e.Store
	if dir == "" {
		cache, err := os.UserCacheDir()
		if dir = filepath.Join(cache, "lineoauth"); err != nil || !exists(dir) {
			skip("there is no store; select one with --store", readers, writable, stored)
			return
		}
	}
	if e.settings.ChannelID == "" {
		skip("needs a channel ID", readers, writable, stored)
		return
	}
	if !e.checkReaders(readers, dir) {
		skip("needs a store that only this user can access", writable, stored)
		return
	}
	// Without credentials, which may be invalid, each kind of token has its own entry.
	cfg := e.settings
	cfg.ChannelSecret, cfg.Key, cfg.KeyID = lineoauth.Secret{}, nil, ""
	client, err := e.client(cfg)
	var store *filestore.Store
	if err == nil {
		store, err = filestore.New(filestore.Config{Dir: dir})
	}
	if err == nil {
		err = client.CheckStore(ctx, store, lineoauth.V21)
	}
	if err != nil {
		e.failWith(writable, err, "name a directory that this user can write to, with --store")
		skip("needs a writable store", stored)
		return
	}
	e.ok(writable, "%s", dir)
	e.checkStored(ctx, stored, client, store, dir)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// checkReaders fails if other users can read a token, or write one. A directory that
// cannot be read fails the next check.
func (e *examination) checkReaders(name, dir string) bool {
	files, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.skip(name, "the directory does not exist yet")
		return true
	case err != nil:
		e.skip(name, "needs a directory that this user can read")
		return true
	}
	paths := []string{dir}
	for _, file := range files {
		if strings.HasPrefix(file.Name(), "token-") {
			paths = append(paths, filepath.Join(dir, file.Name()))
		}
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case runtime.GOOS == "windows", errors.Is(err, fs.ErrNotExist): // replaced meanwhile
			continue
		case err != nil:
			e.skip(name, "needs a directory that this user can read")
			return true
		}
		mode := info.Mode().Perm()
		switch {
		case env.Foreign(info):
			e.fail(name, path+" belongs to another user", "name a directory of this user, with --store")
			return false
		case path == dir && info.IsDir() && mode&0o022 != 0:
			e.fail(name, fmt.Sprintf("others can write a token to %s (mode %04o)", path, mode), "make its mode 0700: chmod 700 "+path)
			return false
		case path != dir && info.Mode().IsRegular() && mode&0o077 != 0:
			e.fail(name, fmt.Sprintf("others can read %s (mode %04o)", path, mode), "make its mode 0600: chmod 600 "+path+", and revoke the token if it may have been read")
			return false
		}
	}
	e.ok(name, "only this user")
	return true
}

// checkStored verifies the tokens in the store.
func (e *examination) checkStored(ctx context.Context, name string, client *lineoauth.Client, store *filestore.Store, dir string) {
	found := false
	for _, kind := range []lineoauth.Kind{lineoauth.Stateless, lineoauth.V21, lineoauth.ShortLived} {
		token, err := client.StoredToken(ctx, store, kind)
		if err == nil && token == nil {
			continue
		}
		found = true
		of := name + " " + string(kind)
		if err == nil && !e.reached {
			e.skip(of, "LINE is not reachable")
			continue
		}
		var v *lineoauth.Verification
		if err == nil {
			v, err = client.VerifyChannelToken(ctx, token.AccessToken.Reveal())
		}
		switch {
		case errors.Is(err, lineoauth.ErrInvalidToken):
			e.fail(of, "LINE does not accept it"+requestID(err), "replace it: lineoauth token --refresh --type "+string(kind)+" --store "+dir)
		case err != nil:
			e.failWith(of, err, "try again")
		case v.ClientID != e.settings.ChannelID:
			e.fail(of, "it belongs to channel "+v.ClientID, "replace it: lineoauth issue --type "+string(kind)+" --store "+dir)
		default:
			e.ok(of, "valid for %v", v.Remaining())
		}
	}
	if !found {
		e.skip(name, "none")
	}
}
