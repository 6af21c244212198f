package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/lineoauth/lineoauth/internal/assertion"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// channelSetup is one channel of the --channels file.
type channelSetup struct {
	ChannelID     string      `json:"channel_id"`
	ChannelSecret string      `json:"channel_secret"`
	PublicKeys    []publicKey `json:"public_keys"`
	MINIApp       bool        `json:"mini_app"`

	flag, keyFlag, keyIDName string // where its ID, public keys and their IDs come from, for errors
}

type publicKey struct {
	File  string `json:"file"`
	KeyID string `json:"key_id"`
}

func (f *serveFlags) several() bool { return len(f.channels) > 0 || f.channelsFile != "" }

// setups returns the channels that the flags name.
func (f *serveFlags) setups() ([]channelSetup, error) {
	if len(f.keyIDs) != len(f.publicKeys) {
		return nil, usagef("%d --public-key but %d --key-id; give one of each per key", len(f.publicKeys), len(f.keyIDs))
	}
	if !f.several() {
		one := channelSetup{ChannelID: f.channelID, ChannelSecret: f.channelSecret, flag: "--channel-id", keyFlag: "--public-key", keyIDName: "--key-id"}
		for i, path := range f.publicKeys {
			one.PublicKeys = append(one.PublicKeys, publicKey{path, f.keyIDs[i]})
		}
		return []channelSetup{one}, nil
	}
	if f.channelID != "" || f.channelSecret != "" || len(f.publicKeys) > 0 {
		return nil, usagef("--channel-id, --channel-secret, --public-key and --key-id are for a single channel; omit them with --channel or --channels")
	}
	var setups []channelSetup
	for _, text := range f.channels {
		id, secret, made := strings.Cut(text, ":")
		if id == "" || made && secret == "" {
			return nil, usagef("invalid --channel: use ID or ID:SECRET")
		}
		setups = append(setups, channelSetup{ChannelID: id, ChannelSecret: secret, flag: "--channel"})
	}
	if f.channelsFile == "" {
		return setups, nil
	}
	read, err := readChannels(f.channelsFile)
	if err != nil {
		return nil, usagef("--channels: %w", err)
	}
	return append(setups, read...), nil
}

// readChannels reads a file of channels. Its errors hold none of the file's values.
func readChannels(path string) ([]channelSetup, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, fmt.Errorf("%w; name a JSON file with channels", assertion.FileError(path, err))
	}
	var setups []channelSetup
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	d.DisallowUnknownFields()
	err = d.Decode(&setups)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("unexpected data after the list; remove it")
		}
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf(`%s: not a list such as [{"channel_id":"1234567890","channel_secret":"test-secret"}]: %w`, path, err)
	case len(setups) == 0:
		return nil, fmt.Errorf("%s: the list is empty; add a channel", path)
	}
	for i := range setups {
		if setups[i].ChannelID == "" {
			return nil, fmt.Errorf("%s: channel %d has no channel_id; add it", path, i+1)
		}
		setups[i].flag = fmt.Sprintf("--channels: channel %d", i+1)
		setups[i].keyFlag, setups[i].keyIDName = "--channels", "key_id"
		for j, key := range setups[i].PublicKeys {
			if key.File != "" && !filepath.IsAbs(key.File) {
				setups[i].PublicKeys[j].File = filepath.Join(filepath.Dir(path), key.File)
			}
		}
	}
	return setups, nil
}

// add adds the channel to an emulator, with its public keys.
func (c channelSetup) add(srv *lineoauthtest.Server) (*lineoauthtest.Channel, servedChannel, error) {
	channel, err := srv.AddChannel(c.ChannelID, c.ChannelSecret)
	if err != nil {
		return nil, servedChannel{}, usagef("%s: %w", c.flag, err)
	}
	channel.SetMINIApp(c.MINIApp)
	served := servedChannel{ChannelID: channel.ID, ChannelSecret: channel.Secret}
	for _, key := range c.PublicKeys {
		jwk, err := readPublicKey(key.File)
		if err != nil {
			return nil, served, usagef("%s: %w; name a file with a public key in JWK or PEM", c.keyFlag, err)
		}
		if key.KeyID == "" {
			return nil, served, usagef("%s: %s: %s is empty; use any non-empty name", c.keyFlag, key.File, c.keyIDName)
		}
		if _, err := channel.RegisterKey(key.KeyID, jwk); err != nil {
			return nil, served, usagef("%s: %s: %w; use up to 2 public keys like those of lineoauth keygen, each with its own %s", c.keyFlag, key.File, err, c.keyIDName)
		}
	}
	if len(c.PublicKeys) > 0 {
		served.KeyID = c.PublicKeys[0].KeyID
	}
	return channel, served, nil
}

// keyFolder is a temporary folder with the private key that serve generates, in a file
// for each channel. It is one key, since to make hundreds takes minutes.
type keyFolder struct {
	dir             string
	private, public []byte
}

// give registers the generated key with a channel.
func (k *keyFolder) give(channel *lineoauthtest.Channel, served *servedChannel) (err error) {
	if k.dir == "" {
		if k.dir, err = os.MkdirTemp("", "lineoauth-"); err != nil {
			return fmt.Errorf("cannot create a folder for the private key: %w; set TMPDIR to a writable folder, or use --public-key", err)
		}
		if k.private, k.public, err = newKeyPair(); err != nil {
			return err
		}
	}
	served.PrivateKeyFile = filepath.Join(k.dir, "private-key-"+channel.ID+".pem")
	if err := os.WriteFile(served.PrivateKeyFile, k.private, 0o600); err != nil {
		return err
	}
	served.KeyID, err = channel.RegisterKey("", k.public)
	return err
}

func (k *keyFolder) remove() {
	if k.dir != "" {
		_ = os.RemoveAll(k.dir)
	}
}
