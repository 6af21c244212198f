// Package cli implements the lineoauth command.
package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/internal/assertion"
	"github.com/lineoauth/lineoauth/internal/env"
	"github.com/lineoauth/lineoauth/store"
)

const (
	exitDone         = 0
	exitFailed       = 1
	exitUsage        = 2
	exitInvalidToken = 3
	exitInterrupted  = 130
)

// grace is how long an interrupted command may take to clean up.
const grace = 500 * time.Millisecond

// errInvalidToken makes verify exit with code 3 after it printed the answer.
var errInvalidToken = errors.New("the token is not valid")

// app holds the input and output of a command.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	// cleanUp is how long an interrupted command may take to exit if that is longer
	// than grace: a [time.Duration].
	cleanUp atomic.Int64
}

// Main runs the command line of this process, then exits.
func Main() {
	log.SetOutput(io.Discard) // net/http logs there what a server sends, which may repeat a token
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// Command returns the command tree for documentation; do not run it.
func Command() *cobra.Command { return (&app{}).command() }

// run is Main without os.Args and os.Exit.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: getenv}
	if !completable(args) {
		return exitFailed
	}
	root := a.command()
	help := &output{Writer: stdout}
	root.SetOut(help)
	root.SetArgs(args)
	done := make(chan error, 1)
	var called *cobra.Command
	go func() {
		cmd, err := root.ExecuteContextC(ctx)
		called = cmd
		done <- err
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		// A command that is reading a pipe or terminal does not notice ctx.
		select {
		case err = <-done:
		case <-time.After(max(grace, time.Duration(a.cleanUp.Load()))):
			return exitInterrupted
		}
	}

	var failed *failedError
	switch {
	case err == nil && help.err != nil:
		a.report(cannotPrint(help.err).Error())
		return exitFailed
	case err == nil:
		return exitDone
	case errors.Is(err, errInvalidToken):
		return exitInvalidToken
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, &failed) && !errors.Is(err, lineoauth.ErrInvalid) && !errors.Is(err, store.ErrInvalid):
		a.report(failed.err.Error())
		return exitFailed
	case errors.As(err, &failed):
		a.report(failed.err.Error())
		return exitUsage
	}
	if called.Hidden {
		called = root
	}
	a.report(fmt.Sprintf("%s; see %s --help", maskLongWords(err.Error()), called.CommandPath()))
	return exitUsage
}

// report prints an error on one line.
func (a *app) report(text string) {
	_, _ = fmt.Fprintln(a.stderr, a.paint(a.stderr, red, "lineoauth:"), line(text))
}

func (a *app) command() *cobra.Command {
	var version bool
	root := &cobra.Command{
		Use:   "lineoauth",
		Short: "Channel access tokens for LINE bots",
		Long:  environmentHelp,
		Example: `  # see the life of a token, without a channel
  lineoauth demo
  # a v2.1 token that expires after a day
  lineoauth issue --type v2.1 --valid-for 24h -o token`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if version {
				return runs(a.printVersion)(cmd, args)
			}
			return cmd.Help()
		},
		PersistentPreRunE:          noBlankFlags,
		CompletionOptions:          cobra.CompletionOptions{DisableDefaultCmd: true},
		SuggestionsMinimumDistance: 2,
	}
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.Flags().BoolVar(&version, "version", false, "print the version, the commit and the Go version")
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(helpCommand(root))
	root.SetIn(a.stdin)
	root.SetErr(a.stderr)
	root.AddCommand(
		a.issueCommand(),
		a.tokenCommand(),
		a.verifyCommand(),
		a.revokeCommand(),
		a.keyIDsCommand(),
		a.assertionCommand(),
		a.keygenCommand(),
		a.proxyCommand(),
		a.serveCommand(),
		a.demoCommand(),
		a.conformanceCommand(),
		a.doctorCommand(),
		a.completionCommand(),
		a.versionCommand(),
	)
	return root
}

const environmentHelp = `Channel access tokens for LINE bots: issue, verify and revoke them, and test
without LINE.

Credentials come from the environment:

    LINE_CHANNEL_ID              channel ID
    LINE_CHANNEL_SECRET          channel secret
    LINE_CHANNEL_SECRET_FILE     or the path of a file with the secret
    LINE_PRIVATE_KEY             private key: JWK or PEM, also with literal \n or in base64
    LINE_PRIVATE_KEY_FILE        or the path of a file with the key
    LINE_KEY_ID                  key ID, unless the key is a JWK that has one
    LINE_KEY_ID_FILE             or the path of a file with the key ID
    LINE_OAUTH_BASE_URL          base URL, if not LINE's
    LINE_OAUTH_ALLOW_PLAIN_HTTP  1 or true allows plain http to other hosts than this machine

Exit codes: 0 done, 1 the call failed, 2 wrong usage or configuration,
3 the verified token is not valid, 130 interrupted.`

// runs adapts a command's function; errors that it returns are not usage errors.
func runs(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := f(cmd.Context(), args); err != nil {
			return &failedError{err}
		}
		return nil
	}
}

// clientFlags are the flags that override environment variables.
type clientFlags struct {
	cmd     *cobra.Command
	timeout time.Duration
}

// flagOf maps an environment variable to the flag that overrides it.
var flagOf = map[string]string{
	env.ChannelID:      "channel-id",
	env.PrivateKeyFile: "private-key-file",
	env.KeyID:          "key-id",
	env.BaseURL:        "base-url",
}

func (a *app) clientFlags(cmd *cobra.Command) *clientFlags {
	f := &clientFlags{cmd: cmd}
	cmd.Flags().String("channel-id", "", "channel `ID`")
	cmd.Flags().String("private-key-file", "", "`file` with the private key")
	cmd.Flags().String("key-id", "", "key `ID` of the private key")
	cmd.Flags().String("base-url", "", "base `URL` of LINE's API or of an emulator")
	cmd.Flags().DurationVar(&f.timeout, "timeout", lineoauth.DefaultTimeout, "timeout of one attempt of a call")
	completeFiles(cmd, "private-key-file")
	return f
}

func (f *clientFlags) check() error {
	if f.timeout <= 0 {
		return usagef("invalid --timeout: use a duration above 0, such as 10s")
	}
	return nil
}

// setting returns an environment variable's value, or that of the flag that overrides it.
func (f *clientFlags) setting(getenv func(string) string) func(variable string) string {
	return func(variable string) string {
		if flag := flagOf[variable]; flag != "" && f.cmd.Flags().Changed(flag) {
			return f.cmd.Flags().Lookup(flag).Value.String()
		}
		if variable == env.PrivateKey && f.cmd.Flags().Changed("private-key-file") ||
			variable == env.KeyIDFile && f.cmd.Flags().Changed("key-id") {
			return ""
		}
		return getenv(variable)
	}
}

// nameOf returns the variable or the flag that a setting came from.
func (f *clientFlags) nameOf(variable string) string {
	if flag := flagOf[variable]; flag != "" && f.cmd.Flags().Changed(flag) {
		return "--" + flag
	}
	return variable
}

// client returns a client for the flags and the environment. Missing credentials are
// reported by the call, which knows what it needs.
func (a *app) client(f *clientFlags, change ...func(*lineoauth.Config)) (*lineoauth.Client, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	setting := f.setting(a.getenv)
	a.warnOfReaders("private key", setting(env.PrivateKeyFile))
	a.warnOfReaders("channel secret", setting(env.ChannelSecretFile))
	cfg, err := lineoauth.ConfigFromEnv(setting)
	if err != nil && !errors.Is(err, lineoauth.ErrMissingCredentials) {
		return nil, f.named(err)
	}
	a.warnOfPlainHTTP(cfg.AllowPlainHTTP)
	cfg.Timeout = f.timeout
	if strings.HasPrefix(cfg.BaseURL, "http://") && !cfg.AllowPlainHTTP {
		cfg.MaxClockSkew = math.MaxInt64 // an emulator on this machine, whose clock may have been advanced
	}
	for _, c := range change {
		c(&cfg)
	}
	client, err := lineoauth.New(cfg)
	return client, f.named(err)
}

var variable = regexp.MustCompile(`\bLINE_[A-Z_]+`)

// named makes an error name the flags that overrode the variables.
func (f *clientFlags) named(err error) error {
	if err == nil {
		return nil
	}
	return &namedError{err, variable.ReplaceAllStringFunc(err.Error(), f.nameOf)}
}

// namedError is an error with another text.
type namedError struct {
	error
	text string
}

func (e *namedError) Error() string { return e.text }
func (e *namedError) Unwrap() error { return e.error }

// warnOfReaders warns if users other than its owner can read or write the file of a secret.
func (a *app) warnOfReaders(secret, given string) {
	path, err := env.Path("", given)
	if path == "" || err != nil {
		return
	}
	info, err := os.Stat(path)
	if err != nil || !env.Exposed(info) {
		return
	}
	a.warn(fmt.Errorf("others can read or change the %s in %q; make its mode 0600", secret, path))
}

// warnOfPlainHTTP warns if plain http is allowed toward any host.
func (a *app) warnOfPlainHTTP(allowed bool) {
	if allowed {
		a.warn(fmt.Errorf("%s is set: plain http sends tokens and secrets unencrypted", env.AllowPlainHTTP))
	}
}

// warn reports an error that does not stop the command.
func (a *app) warn(err error) {
	a.report("warning: " + strings.TrimPrefix(err.Error(), "lineoauth: "))
}

// token takes a token from the command line or, for "-", from standard input.
func (a *app) token(arg string) (string, error) {
	if arg == "-" {
		data, err := io.ReadAll(io.LimitReader(a.stdin, maxToken))
		if err != nil {
			return "", usagef("cannot read standard input: %w; pipe the token into it, or give it as the argument", err)
		}
		arg = assertion.Decode(data)
	}
	token := env.Trim(arg)
	if token == "" {
		return "", usagef("the token is empty; give it as the argument, or use - and pipe it into standard input")
	}
	return token, nil
}

const maxToken = 1 << 20

// withToken returns a command that takes one token. It opens the store, to remove a
// token that LINE revoked.
func (a *app) withToken(cmd *cobra.Command, do func(context.Context, *lineoauth.Client, string, *storedTokens) error) *cobra.Command {
	flags := a.clientFlags(cmd)
	stored := newStoreFlag(cmd, "`directory` of the shared token "+defaultStore)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("%s needs one token, or - to read it from standard input", cmd.Name())
		}
		return nil
	}
	cmd.RunE = runs(func(ctx context.Context, args []string) error {
		tokens := &storedTokens{app: a, dir: stored.dir}
		client, err := a.client(flags, func(cfg *lineoauth.Config) { tokens.cfg = *cfg })
		if err != nil {
			return err
		}
		token, err := a.token(args[0])
		if err != nil {
			return err
		}
		if tokens.store, err = stored.openIfThere(); err != nil && stored.given() {
			return err
		} else if err != nil {
			a.warn(err)
		}
		return do(ctx, client, token, tokens)
	})
	return cmd
}

// print writes a value as one line of JSON.
func (a *app) print(v any) error {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	return a.printText(b.String())
}

func (a *app) printLine(s string) error { return a.printText(s + "\n") }

func (a *app) printText(s string) error {
	if _, err := io.WriteString(a.stdout, s); err != nil {
		return cannotPrint(err)
	}
	return nil
}

func cannotPrint(err error) error {
	return fmt.Errorf("cannot write to standard output: %w; redirect it to a location with free space", err)
}

// output keeps the first error of a writer: cobra ignores those of help.
type output struct {
	io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	o.err = cmp.Or(o.err, err)
	return n, err
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }
