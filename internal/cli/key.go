package cli

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/assertion"
)

func (a *app) assertionCommand() *cobra.Command {
	var expiresIn, validFor time.Duration
	cmd := &cobra.Command{
		Use:   "assertion",
		Short: "Sign and print a client assertion (JWT), offline",
		Long:  "Sign and print a client assertion (JWT), offline. LINE accepts it in place of the\nchannel secret.",
		Example: `  # an assertion to request a v2.1 token that is valid for a day
  lineoauth assertion --valid-for 24h`,
		Args: noArgs,
	}
	flags := a.clientFlags(cmd)
	cmd.Flags().DurationVar(&expiresIn, "expires-in", assertion.DefaultExpiresIn, "lifetime of the assertion, up to 30m")
	cmd.Flags().DurationVar(&validFor, "valid-for", assertion.DefaultValidFor, "lifetime of the v2.1 token to request with it, up to 720h")
	cmd.Flags().Lookup("expires-in").DefValue = "29m"
	cmd.Flags().Lookup("valid-for").DefValue = "720h"
	cmd.RunE = runs(func(ctx context.Context, _ []string) error {
		if expiresIn <= 0 || validFor <= 0 {
			return usagef("invalid --expires-in or --valid-for: use durations above 0, such as 29m and 24h")
		}
		client, err := a.client(flags, func(cfg *lineoauth.Config) { cfg.AssertionLifetime = expiresIn })
		if err != nil {
			return err
		}
		signed, err := client.Assertion(ctx, validFor)
		if err != nil {
			return err
		}
		return a.printLine(signed.Reveal())
	})
	return cmd
}

func (a *app) keygenCommand() *cobra.Command {
	var privatePath, publicPath string
	var force bool
	cmd := &cobra.Command{
		Use:   "keygen --private-key FILE --public-key FILE",
		Short: "Generate a key pair for the LINE Developers Console",
		Long: `Generate an RSA-2048 key pair. The private key is written as PEM to a file that only
its owner can read; the public key to a file and standard output, as the JWK that
the LINE Developers Console accepts.`,
		Example: `  # a new key pair; register line-public.json in the console
  lineoauth keygen --private-key line.pem --public-key line-public.json`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&privatePath, "private-key", "", "`file` for the private key")
	cmd.Flags().StringVar(&publicPath, "public-key", "", "`file` for the public key")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite the files if they exist")
	completeFiles(cmd, "private-key", "public-key")
	cmd.RunE = runs(func(context.Context, []string) error {
		if privatePath == "" || publicPath == "" || samePlace(privatePath, publicPath) {
			return usagef("--private-key and --public-key must name two files")
		}
		for _, path := range []string{privatePath, publicPath} {
			if err := checkPlace(path, force); err != nil {
				return usagef("%w", err)
			}
		}
		public, err := keygen(privatePath, publicPath, force)
		if err != nil {
			return err
		}
		return a.printText(string(public))
	})
	return cmd
}

// keygen writes a new key pair to two files, and returns the public key.
func keygen(privatePath, publicPath string, overwrite bool) ([]byte, error) {
	private, public, err := newKeyPair()
	if err != nil {
		return nil, err
	}
	// An overwritten key is lost, so both new ones must be on disk first.
	publicFile, err := stage(publicPath, public, 0o644)
	if err != nil {
		return nil, cannotMake("public", publicPath, err)
	}
	defer publicFile.discard()
	privateFile, err := stage(privatePath, private, 0o600)
	if err != nil {
		return nil, cannotMake("private", privatePath, err)
	}
	defer privateFile.discard()
	if err := privateFile.move(overwrite); err != nil {
		return nil, cannotMake("private", privatePath, err)
	}
	if err := publicFile.move(overwrite); err != nil {
		if !overwrite {
			_ = os.Remove(privatePath) // a private key without its public key is useless
		}
		return nil, cannotMake("public", publicPath, err)
	}
	return public, nil
}

func cannotMake(what, path string, err error) error {
	return usagef("cannot create the %s key's file: %w; name one in a writable folder", what, assertion.FileError(path, err))
}

// newKeyPair returns a private key as PEM and its public key as a JWK.
func newKeyPair() (private, public []byte, err error) {
	key, err := rsa.GenerateKey(rand.Reader, assertion.KeyBits)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	public, err = assertion.PublicJWK(&key.PublicKey)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), append(public, '\n'), nil
}
