package cli

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/assertion"
)

func (a *app) assertionCommand() *cobra.Command {
	var expiresIn, validFor time.Duration
	cmd := &cobra.Command{
		Use:     "assertion",
		Short:   "Sign and print a client assertion (JWT), without the network",
		Long:    "Sign and print a client assertion (JWT), without the network: what LINE takes in\nthe place of a channel secret.",
		Example: `  lineoauth assertion --valid-for 24h`,
		Args:    noArgs,
	}
	flags := a.clientFlags(cmd)
	cmd.Flags().DurationVar(&expiresIn, "expires-in", assertion.DefaultExpiresIn, "lifetime of the assertion, up to 30m")
	cmd.Flags().DurationVar(&validFor, "valid-for", assertion.DefaultValidFor, "lifetime of the v2.1 token that it asks for, up to 720h")
	cmd.RunE = runs(func(ctx context.Context, _ []string) error {
		if expiresIn <= 0 || validFor <= 0 {
			return usagef("--expires-in and --valid-for must be more than 0, such as 29m and 24h")
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
		Short: "Make a key pair that LINE's console accepts",
		Long: `Make an RSA-2048 key pair: the private key as PEM in a file that only its owner
can read, the public key as the JWK that the LINE Developers Console takes,
in a file and on standard output.`,
		Example: `  lineoauth keygen --private-key line.pem --public-key line-public.json`,
		Args:    noArgs,
	}
	cmd.Flags().StringVar(&privatePath, "private-key", "", "`file` for the private key")
	cmd.Flags().StringVar(&publicPath, "public-key", "", "`file` for the public key")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite the files if they exist")
	completeFiles(cmd, "private-key", "public-key")
	cmd.RunE = runs(func(context.Context, []string) error {
		if privatePath == "" || publicPath == "" || sameFile(privatePath, publicPath) {
			return usagef("--private-key and --public-key must name two files")
		}
		if !force {
			for _, path := range []string{privatePath, publicPath} {
				if _, err := os.Lstat(path); err == nil {
					return usagef("%s exists already; name another file, or give --force to overwrite it", path)
				}
			}
		}
		private, public, err := newKeyPair()
		if err != nil {
			return err
		}
		// A key that is overwritten is gone; so the public one has to be there first.
		if err := writeFile(publicPath+".new", public, 0o644, true); err != nil {
			return cannotMake("public", publicPath, err)
		}
		defer func() { _ = os.Remove(publicPath + ".new") }()
		if err := writeFile(privatePath, private, 0o600, force); err != nil {
			return cannotMake("private", privatePath, err)
		}
		if err := writeFile(publicPath, public, 0o644, force); err != nil {
			if !force {
				_ = os.Remove(privatePath) // half a pair is of no use, and in the way
			}
			return cannotMake("public", publicPath, err)
		}
		return a.printText(string(public))
	})
	return cmd
}

func cannotMake(what, path string, err error) error {
	return usagef("cannot make the %s key's file: %w; name one in a folder that you can write to", what, assertion.FileError(path, err))
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

func sameFile(a, b string) bool {
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	if errA != nil || errB != nil || absA == absB {
		return true
	}
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// writeFile writes a file whole or not at all, and over another one only if
// it may.
func writeFile(path string, data []byte, mode fs.FileMode, overwrite bool) (err error) {
	if !overwrite {
		// An empty file holds the place for the rename below.
		place, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // the user names the file
		if err != nil {
			return err
		}
		if err := place.Close(); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				_ = os.Remove(path)
			}
		}()
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if rmErr := os.Remove(temp.Name()); err == nil && !errors.Is(rmErr, fs.ErrNotExist) {
			err = rmErr
		}
	}()
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Sync(), temp.Close(), os.Chmod(temp.Name(), mode))
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
