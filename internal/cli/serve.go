package cli

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth/internal/assertion"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

func (a *app) serveCommand() *cobra.Command {
	var listen, channelID, channelSecret string
	var publicKeys, keyIDs []string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run an emulator of LINE's token platform",
		Long: `Run an emulator of LINE's token platform in the foreground, until SIGINT or
SIGTERM. Once it listens it prints one line of JSON that says where and with
which credentials; in the environment, they lead the other commands to it. What
is not given is made up.

Beside LINE's paths it has GET /_emulator/state, POST /_emulator/clock (such as
{"advance":"15m"}), and POST and DELETE /_emulator/faults (such as
{"fault":"rate-limited","times":3}).`,
		Example: `  lineoauth serve --listen 127.0.0.1:8080 --channel-id 1234567890`,
		Args:    noArgs,
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`address` to listen on; port 0 means a free one")
	cmd.Flags().StringVar(&channelID, "channel-id", "", "channel `ID`")
	cmd.Flags().StringVar(&channelSecret, "channel-secret", "", "made-up channel `secret`")
	cmd.Flags().StringArrayVar(&publicKeys, "public-key", nil, "`file` with a public key to register, JWK or PEM (up to 2)")
	cmd.Flags().StringArrayVar(&keyIDs, "key-id", nil, "key `ID` of the public key (one for each)")
	completeFiles(cmd, "public-key")
	cmd.RunE = runs(func(ctx context.Context, _ []string) error {
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
		defer stop()
		if len(keyIDs) != len(publicKeys) {
			return usagef("there are %d --public-key and %d --key-id; give one of each for a key", len(publicKeys), len(keyIDs))
		}
		srv := lineoauthtest.NewUnstartedServer()
		defer srv.Close()
		channel, err := srv.AddChannel(channelID, channelSecret)
		if err != nil {
			return usagef("%w", err)
		}
		ready := serving{ChannelID: channel.ID, ChannelSecret: channel.Secret}
		for i, path := range publicKeys {
			jwk, err := readPublicKey(path)
			if err != nil {
				return usagef("--public-key: %w; name a file with a public key, JWK or PEM", err)
			}
			if keyIDs[i] == "" {
				return usagef("--public-key: %w", assertion.FileError(path, errors.New("its --key-id is empty; give it any name")))
			}
			if _, err := channel.RegisterKey(keyIDs[i], jwk); err != nil {
				return usagef("--public-key: %w; give up to 2 such as lineoauth keygen makes, each with a --key-id of its own", assertion.FileError(path, err))
			}
			ready.KeyID = keyIDs[0]
		}
		if len(publicKeys) == 0 {
			dir, err := os.MkdirTemp("", "lineoauth-")
			if err != nil {
				return fmt.Errorf("cannot make a folder for the private key (%w); set TMPDIR to a folder that you can write to, or give --public-key", err)
			}
			defer func() { _ = os.RemoveAll(dir) }()
			private, public, err := newKeyPair()
			if err != nil {
				return err
			}
			if ready.KeyID, err = channel.RegisterKey("", public); err != nil {
				return err
			}
			ready.PrivateKeyFile = filepath.Join(dir, "private-key.pem")
			if err := writeFile(ready.PrivateKeyFile, private, 0o600, true); err != nil {
				return err
			}
		}
		if srv.Listener, err = net.Listen("tcp", listen); err != nil {
			return usagef("cannot listen; choose another --listen: %w", err)
		}
		srv.Start()
		ready.URL = srv.URL
		if addr, ok := srv.Listener.Addr().(*net.TCPAddr); ok && addr.IP.IsUnspecified() {
			// A client on this machine needs an address of it.
			ready.URL = fmt.Sprintf("http://127.0.0.1:%d", addr.Port)
		}
		if err := a.print(ready); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
	return cmd
}

type serving struct {
	URL            string `json:"url"`
	ChannelID      string `json:"channel_id"`
	ChannelSecret  string `json:"channel_secret"`
	KeyID          string `json:"key_id"`
	PrivateKeyFile string `json:"private_key_file,omitempty"`
}

// readPublicKey returns a public key as the JWK that a channel registers.
func readPublicKey(path string) ([]byte, error) {
	data, err := assertion.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return data, nil
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		parsed, err = x509.ParsePKCS1PublicKey(block.Bytes)
	}
	public, ok := parsed.(*rsa.PublicKey)
	if err != nil || !ok {
		return nil, assertion.FileError(path, errors.New("the PEM holds no RSA public key"))
	}
	return assertion.PublicJWK(public)
}
