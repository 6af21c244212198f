// testscript does not build on these.

//go:build !plan9 && !wasip1

package cli

import (
	"encoding/json"
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/lineoauth/lineoauth"
)

// The first line lists each channel with its credentials; private keys are removed at
// the end.
func TestServeSeveralChannels(t *testing.T) {
	t.Parallel()
	cmd := process("serve", "--channel", "1234567890:test-secret", "--channel", "1234567891")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var ready serving
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	if len(ready.Channels) != 2 || ready.Channels[0] != ready.servedChannel || ready.ChannelSecret != "test-secret" || ready.Channels[1].ChannelID != "1234567891" {
		t.Errorf("the line is %+v", ready)
	}
	for _, c := range ready.Channels {
		private, err := os.ReadFile(c.PrivateKeyFile)
		if err != nil {
			t.Fatal(err)
		}
		key, err := lineoauth.ParseKey(private)
		if err != nil {
			t.Fatal(err)
		}
		client, err := lineoauth.New(lineoauth.Config{ChannelID: c.ChannelID, ChannelSecret: lineoauth.NewSecret(c.ChannelSecret), Key: key, KeyID: c.KeyID, BaseURL: ready.URL})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.ValidChannelAccessTokenKeyIDs(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := client.IssueShortLivedChannelToken(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
		t.Error(err)
	}
	for _, c := range ready.Channels {
		if _, err := os.Stat(c.PrivateKeyFile); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the private key still exists: %v", err)
		}
	}
}
