//go:build cgo

package main

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"

	"github.com/lineoauth/lineoauth"
)

// hardware is a token and a session with it, which is reopened when it was lost:
// the card was pulled out, the HSM restarted, the network was gone.
type hardware struct {
	module, label, pinFile, keyFile string

	mu         sync.Mutex
	session    *crypto11.Context // nil until it is needed
	refusedPIN string
}

func newToken(getenv func(string) string) *hardware {
	return &hardware{
		module:  getenv("PKCS11_MODULE"),
		label:   getenv("PKCS11_TOKEN"),
		pinFile: getenv("PKCS11_PIN_FILE"),
		keyFile: getenv("PKCS11_KEY_FILE"),
	}
}

// credentials are for lineoauth.Config. It looks for the key each time: another may
// be in use by now, and a session that was lost shows.
func (h *hardware) credentials(context.Context) (lineoauth.Credentials, error) {
	text, err := os.ReadFile(h.keyFile)
	if err != nil {
		return lineoauth.Credentials{}, err
	}
	var current struct {
		Label string `json:"label"`
		KeyID string `json:"key_id"`
	}
	if err := json.Unmarshal(text, &current); err != nil {
		return lineoauth.Credentials{}, fmt.Errorf("%s: %w", h.keyFile, err)
	}
	signer, err := h.find(current.Label)
	if err != nil {
		return lineoauth.Credentials{}, err
	}
	key, err := lineoauth.NewKey(signer, current.KeyID)
	return lineoauth.Credentials{Key: key}, err
}

var errNoKey = errors.New("the token has no such key")

// find returns the key pair of a label.
func (h *hardware) find(label string) (crypto.Signer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys, err := h.keys(label)
	// Without the login, which ends with its session, a token shows no private keys.
	if h.session != nil && (errors.As(err, new(pkcs11.Error)) || len(keys) == 0) {
		_ = h.session.Close() // first, so that the module restarts, too
		h.session = nil
		keys, err = h.keys(label)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("looking for the key in the token: %w", err)
	case len(keys) != 1:
		return nil, fmt.Errorf("%w: %d have the label %q; it has to be one", errNoKey, len(keys), label)
	}
	return keys[0], nil
}

func (h *hardware) keys(label string) ([]crypto11.Signer, error) {
	if h.session == nil {
		if err := h.open(); err != nil {
			return nil, err
		}
	}
	return h.session.FindKeyPairs(nil, []byte(label))
}

// open does not try a PIN again that was wrong: after a few times the token would be
// locked.
func (h *hardware) open() error {
	text, err := os.ReadFile(h.pinFile)
	if err != nil {
		return err
	}
	pin := strings.TrimSpace(string(text))
	if pin == h.refusedPIN {
		return errors.New("the token refused this PIN before, and is not asked again; correct it in the file")
	}
	session, err := crypto11.Configure(&crypto11.Config{Path: h.module, TokenLabel: h.label, Pin: pin, MaxSessions: 8, PoolWaitTimeout: 10 * time.Second})
	if errors.Is(err, pkcs11.Error(pkcs11.CKR_PIN_INCORRECT)) {
		h.refusedPIN = pin
	}
	if err != nil {
		return fmt.Errorf("opening the token: %w", err)
	}
	h.session = session
	return nil
}

func (h *hardware) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.session != nil {
		_ = h.session.Close()
		h.session = nil
	}
}
