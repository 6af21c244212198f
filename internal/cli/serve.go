package cli

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth/internal/assertion"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

func (a *app) serveCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run an emulator of LINE's token platform",
		Long: `Run an emulator of LINE's token platform in the foreground, until SIGINT or
SIGTERM. Once it listens, it prints one line of JSON with its URL and the
credentials of its channel; set them in the environment to use the other commands
with it. Omitted values are generated.

For several channels, repeat --channel ID or --channel ID:SECRET, or use --channels
with a JSON file. Paths in it are relative to its folder:

    [{"channel_id": "1234567890", "channel_secret": "test-secret"},
     {"channel_id": "1234567891", "public_keys": [{"file": "key.json", "key_id": "kid-1"}]},
     {"channel_id": "1234567892", "mini_app": true}]

The line then also has "channels", all of them; those without public_keys have one
generated key in common. The channel of a LINE MINI App has no v2.1 tokens.

The Host of a request must be localhost, a loopback address, the address that the
request was sent to, one of LINE's hosts, or a host of --allow-host. Requests of web
pages are refused.

` + lineoauthtest.Help(),
		Example: `  # with your own channel ID
  lineoauth serve --listen 127.0.0.1:8080 --channel-id 1234567890
  # two channels, for a compose network in which the URL is http://emulator:8080
  lineoauth serve --listen 0.0.0.0:8080 --allow-host emulator --channel 1234567890:test-secret --channel 1234567891`,
		Args: noArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:0", "`address` to listen on: PORT, :PORT or HOST:PORT; port 0 chooses a free one")
	flags.StringVar(&f.channelID, "channel-id", "", "channel `ID`")
	flags.StringVar(&f.channelSecret, "channel-secret", "", "channel `secret` for tests")
	flags.StringArrayVar(&f.publicKeys, "public-key", nil, "`file` with a public key to register, JWK or PEM (up to 2)")
	flags.StringArrayVar(&f.keyIDs, "key-id", nil, "key `ID` of the public key (one for each)")
	flags.StringArrayVar(&f.channels, "channel", nil, "one of several channels: `ID[:SECRET]` (repeatable)")
	flags.StringVar(&f.channelsFile, "channels", "", "`file` with several channels, in JSON")
	flags.StringArrayVar(&f.allowHosts, "allow-host", nil, "host `name` that clients may use (repeatable)")
	flags.BoolVar(&f.rateLimits, "rate-limits", false, "apply LINE's rate limits")
	completeFiles(cmd, "public-key", "channels")
	cmd.RunE = runs(func(ctx context.Context, _ []string) error { return a.serve(ctx, &f) })
	return cmd
}

type serveFlags struct {
	listen, channelID, channelSecret, channelsFile string
	publicKeys, keyIDs, channels, allowHosts       []string
	rateLimits                                     bool
}

func (a *app) serve(ctx context.Context, f *serveFlags) error {
	log.SetOutput(os.Stderr) // for a panic of the emulator; no request goes to another server
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // a second signal kills the process
	address, err := tcpAddress(f.listen, "PORT, :PORT or HOST:PORT, such as 8080 or 127.0.0.1:8080")
	if err != nil {
		return err
	}
	setups, err := f.setups()
	if err != nil {
		return err
	}
	srv := lineoauthtest.NewUnstartedServer()
	defer srv.Close()
	srv.LimitRates(f.rateLimits)
	for _, name := range f.allowHosts {
		if err := srv.AllowHost(name); err != nil {
			return usagef("--allow-host: %w", err)
		}
	}
	channels, served := make([]*lineoauthtest.Channel, len(setups)), make([]servedChannel, len(setups))
	for i, setup := range setups {
		if channels[i], served[i], err = setup.add(srv); err != nil {
			return err
		}
	}
	if srv.Listener, err = net.Listen("tcp", address); err != nil {
		return usagef("cannot listen: %w; use another --listen", err)
	}
	// Last, as it takes longest.
	keys := &keyFolder{}
	defer keys.remove()
	for i, setup := range setups {
		if len(setup.PublicKeys) > 0 {
			continue
		}
		if err := keys.give(channels[i], &served[i]); err != nil {
			return err
		}
	}
	ready := serving{servedChannel: served[0]}
	if f.several() {
		ready.Channels = served
	}
	srv.Start()
	ready.URL = urlOf(srv.Listener.Addr())
	if err := a.print(ready); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// serving is what serve prints once it listens. The top-level fields describe the
// first channel.
type serving struct {
	URL string `json:"url"`
	servedChannel
	Channels []servedChannel `json:"channels,omitempty"`
}

type servedChannel struct {
	ChannelID      string `json:"channel_id"`
	ChannelSecret  string `json:"channel_secret"`
	KeyID          string `json:"key_id"`
	PrivateKeyFile string `json:"private_key_file,omitempty"`
}

// readPublicKey reads a public key and returns the JWK to register.
func readPublicKey(path string) ([]byte, error) {
	data, err := assertion.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if _, err := assertion.Parse(data); err == nil || block != nil && strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return nil, fmt.Errorf("%s: it is a private key, and the public one belongs here", path)
	}
	if block == nil {
		return data, nil
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		parsed, err = x509.ParsePKCS1PublicKey(block.Bytes)
	}
	public, ok := parsed.(*rsa.PublicKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s: the PEM contains no RSA public key", path)
	}
	return assertion.PublicJWK(public)
}
