package lineoauth_test

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/go-jose/go-jose/v4"

	"github.com/lineoauth/lineoauth"
)

// decorations are what docker --env-file, kubectl, PowerShell, editors and web
// pages leave around a value.
var decorations = map[string][2]string{
	"nothing":                   {"", ""},
	"a line break":              {"", "\n"},
	"a line break of Windows":   {"", "\r\n"},
	"blanks":                    {"  ", " "},
	"tabs":                      {"\t", "\t"},
	"a byte order mark":         {"\ufeff", ""},
	"double quotes":             {`"`, `"`},
	"single quotes":             {"'", "'"},
	"backquotes":                {"`", "`"},
	"typographic quotes":        {"“", "”"},
	"single typographic quotes": {"‘", "’"},
	"a no-break space":          {"\u00a0", "\u00a0"},
	"an ideographic space":      {"\u3000", "\u3000"},
	"zero-width spaces":         {"\u200b", "\u200b\u2060"},
	"marks of direction":        {"\u200e", "\u202c"},
	"next line, form feed":      {"\u0085", "\f\v"},
	"all at once":               {"\ufeff \" \n", "\r\n\"\r\n\r\n"},
}

// theSecret looks like LINE's.
const theSecret = "8f3a0c5be1d94726a07c3e5f9b2d1846"

// settings are all variables with good values, of which exclude leaves out some.
func settings(t *testing.T, without ...string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	all := map[string]string{
		"LINE_CHANNEL_ID":             "1234567890",
		"LINE_CHANNEL_SECRET":         theSecret,
		"LINE_CHANNEL_SECRET_FILE":    write("channel secret", theSecret),
		"LINE_PRIVATE_KEY":            testPEM(t),
		"LINE_PRIVATE_KEY_FILE":       write("private key.pem", testPEM(t)),
		"LINE_KEY_ID":                 "kid-1",
		"LINE_KEY_ID_FILE":            write("key ID", "kid-1"),
		"LINE_OAUTH_BASE_URL":         "http://line.example:8080",
		"LINE_OAUTH_ALLOW_PLAIN_HTTP": "true",
	}
	for _, name := range without {
		delete(all, name)
	}
	return all
}

// sets are the two ways to set all variables: what is itself there, and files.
func sets(t *testing.T) map[string]map[string]string {
	return map[string]map[string]string{
		"values": settings(t, "LINE_CHANNEL_SECRET_FILE", "LINE_PRIVATE_KEY_FILE", "LINE_KEY_ID_FILE"),
		"files":  settings(t, "LINE_CHANNEL_SECRET", "LINE_PRIVATE_KEY", "LINE_KEY_ID"),
	}
}

func checkSettings(t *testing.T, what string, values map[string]string) {
	t.Helper()
	cfg, err := lineoauth.ConfigFromEnv(func(name string) string { return values[name] })
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if cfg.ChannelID != "1234567890" || cfg.ChannelSecret.Reveal() != theSecret || cfg.KeyID != "kid-1" || cfg.BaseURL != "http://line.example:8080" ||
		!cfg.AllowPlainHTTP {
		t.Errorf("%s: config = %+v", what, cfg)
	}
	if hasKey := values["LINE_PRIVATE_KEY"]+values["LINE_PRIVATE_KEY_FILE"] != ""; hasKey != (cfg.Key != nil) || hasKey && !cfg.Key.Public().Equal(testSigner(t).Public()) {
		t.Errorf("%s: config = %+v", what, cfg)
	}
	if _, err := lineoauth.New(cfg); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// Whatever stands around any variable's value, or in its file, is taken off.
func TestDecoratedEnvironment(t *testing.T) {
	for set, all := range sets(t) {
		for name, value := range all {
			values := maps.Clone(all)
			if name != "LINE_PRIVATE_KEY" && name != "LINE_PRIVATE_KEY_FILE" { // to parse the key takes its time
				delete(values, "LINE_PRIVATE_KEY")
				delete(values, "LINE_PRIVATE_KEY_FILE")
			}
			for around, d := range decorations {
				values[name] = d[0] + value + d[1]
				checkSettings(t, set+", "+around+" around "+name, values)
				if !strings.HasSuffix(name, "_FILE") {
					continue
				}
				values[name] = value
				text, err := os.ReadFile(value)
				if err != nil {
					t.Fatal(err)
				}
				for encoding, encode := range encodings {
					if err := os.WriteFile(value, encode(d[0]+string(text)+d[1]), 0o600); err != nil {
						t.Fatal(err)
					}
					checkSettings(t, set+", "+around+" in the file of "+name+" in "+encoding, values)
				}
				if err := os.WriteFile(value, text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

var encodings = map[string]func(string) []byte{
	"UTF-8":    func(s string) []byte { return []byte(s) },
	"UTF-16LE": func(s string) []byte { return inUTF16(binary.LittleEndian, s) },
	"UTF-16BE": func(s string) []byte { return inUTF16(binary.BigEndian, s) },
}

// inUTF16 is text as PowerShell writes it into files.
func inUTF16(order binary.ByteOrder, s string) []byte {
	data := order.(binary.AppendByteOrder).AppendUint16(nil, 0xfeff)
	for _, u := range utf16.Encode([]rune(s)) {
		data = order.(binary.AppendByteOrder).AppendUint16(data, u)
	}
	return data
}

// What stands inside a value is refused by the name of its variable, and the value
// is not shown.
func TestEnvironmentWithSomethingInside(t *testing.T) {
	inside := []string{" ", "\t", "\n", "\r\n", "\x00", "\x1b", "\x7f", "\u0085", "\u00a0", "\u3000", "\u200b", "\ufeff", "\u202e", "\xff"}
	for _, values := range sets(t) {
		for name, value := range values {
			file := strings.HasSuffix(name, "_FILE")
			if name == "LINE_PRIVATE_KEY" {
				continue // has all of that, and ways to say what is wrong with it
			}
			for _, what := range inside {
				path := file && strings.Contains(" \u00a0\u3000\u200b\ufeff\u202e", what) // which may be part of a name
				if !path {
					values[name] = value[:len(value)/2] + what + value[len(value)/2:]
					refuses(t, values, name, what)
				}
				values[name] = value
				if name != "LINE_CHANNEL_SECRET_FILE" {
					continue
				}
				if err := os.WriteFile(value, []byte(theSecret[:4]+what+theSecret[4:]), 0o600); err != nil {
					t.Fatal(err)
				}
				refuses(t, values, name, what)
				if err := os.WriteFile(value, []byte(theSecret), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			values[name] = value
		}
	}
}

func refuses(t *testing.T, values map[string]string, name, what string) {
	t.Helper()
	_, err := lineoauth.ConfigFromEnv(func(name string) string { return values[name] })
	if !errors.Is(err, lineoauth.ErrInvalid) || errors.Is(err, lineoauth.ErrMissingCredentials) || !strings.Contains(err.Error(), name) {
		t.Errorf("%q in %s: %v", what, name, err)
		return
	}
	fitForALog(t, err, theSecret[:8], theSecret[8:])
}

// Both forms set is an error that names both, and half a pair of quotes is one.
func TestEnvironmentRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		variable, value string
		want            string
	}{
		"both secrets":        {"LINE_CHANNEL_SECRET_FILE", "x", "LINE_CHANNEL_SECRET and LINE_CHANNEL_SECRET_FILE are both set"},
		"both keys":           {"LINE_PRIVATE_KEY_FILE", "x", "LINE_PRIVATE_KEY and LINE_PRIVATE_KEY_FILE are both set"},
		"both key IDs":        {"LINE_KEY_ID_FILE", "x", "LINE_KEY_ID and LINE_KEY_ID_FILE are both set"},
		"half a pair":         {"LINE_CHANNEL_SECRET", `"` + theSecret, "LINE_CHANNEL_SECRET has a quotation mark at one end"},
		"two pairs":           {"LINE_CHANNEL_SECRET", `""` + theSecret + `""`, "LINE_CHANNEL_SECRET has a quotation mark at one end"},
		"plain http, perhaps": {"LINE_OAUTH_ALLOW_PLAIN_HTTP", "yes", "invalid LINE_OAUTH_ALLOW_PLAIN_HTTP: set it to 1 or true"},
		"a long s in false":   {"LINE_OAUTH_ALLOW_PLAIN_HTTP", "fal\u017fe", "invalid LINE_OAUTH_ALLOW_PLAIN_HTTP: set it to 1 or true"},
	} {
		values := settings(t, "LINE_CHANNEL_SECRET_FILE", "LINE_PRIVATE_KEY_FILE", "LINE_KEY_ID_FILE")
		values[tt.variable] = tt.value
		_, err := lineoauth.ConfigFromEnv(func(name string) string { return values[name] })
		if !errors.Is(err, lineoauth.ErrInvalid) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), theSecret) {
			t.Errorf("%s: %v; want %q", name, err, tt.want)
		}
	}
	for _, blank := range []string{"", " ", `""`, "\ufeff\r\n"} {
		values := settings(t, "LINE_PRIVATE_KEY_FILE", "LINE_KEY_ID_FILE")
		values["LINE_CHANNEL_SECRET"] = blank
		checkSettings(t, "a blank secret beside its file", values)
		values = settings(t, "LINE_CHANNEL_SECRET_FILE", "LINE_PRIVATE_KEY_FILE", "LINE_KEY_ID_FILE")
		values["LINE_CHANNEL_ID"] = blank
		_, err := lineoauth.ConfigFromEnv(func(name string) string { return values[name] })
		if !errors.Is(err, lineoauth.ErrMissingCredentials) || !strings.Contains(err.Error(), "set LINE_CHANNEL_ID") {
			t.Errorf("a blank channel ID: %v", err)
		}
	}
}

// Tokens of the length of LINE's.
var (
	noise      = sha512.Sum512([]byte("token"))
	longOpaque = base64.StdEncoding.EncodeToString(append(noise[:], noise[:]...))
	longJWS    = "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString(append(noise[:], noise[:]...)) + "." + base64.RawURLEncoding.EncodeToString(noise[:32])
)

// A secret, token or key where a path belongs is not shown; a path is.
func TestSecretForItsPath(t *testing.T) {
	for _, name := range []string{"LINE_CHANNEL_SECRET_FILE", "LINE_PRIVATE_KEY_FILE", "LINE_KEY_ID_FILE"} {
		for _, secret := range []string{theSecret, "hunter2", "/" + theSecret, longOpaque, longJWS, testPEM(t), strings.ReplaceAll(testPEM(t), "\n", `\n`), `{"kty":"RSA","d":"x"}`} {
			_, err := lineoauth.ConfigFromEnv(env("LINE_CHANNEL_ID", "1", name, secret))
			if !errors.Is(err, lineoauth.ErrInvalid) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
				continue
			}
			fitForALog(t, err, secret, strings.TrimPrefix(secret, "/"))
		}
		for _, path := range []string{"/no/such/dir/key2.pem", "line.key", "secret", `C:\keys\line 2.pem`, "./x/y", filepath.Join(t.TempDir(), "z")} {
			_, err := lineoauth.ConfigFromEnv(env("LINE_CHANNEL_ID", "1", name, path))
			if !errors.Is(err, os.ErrNotExist) && !strings.Contains(err.Error(), "no such file") || !strings.Contains(err.Error(), path) {
				t.Errorf("%s=%s: %v", name, path, err)
			}
		}
	}
}

func TestPlainHTTPFromEnv(t *testing.T) {
	for _, base := range []string{"http://localhost", "http://LOCALHOST:1", "http://localhost.", "http://LocalHost.:80/x", "http://127.0.0.1", "http://127.9.8.7", "http://[::1]:1"} {
		cfg, err := lineoauth.ConfigFromEnv(env("LINE_CHANNEL_ID", "1", "LINE_CHANNEL_SECRET", "s", "LINE_OAUTH_BASE_URL", base))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lineoauth.New(cfg); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
	for _, allow := range []string{"", "0", "false", "FALSE", "1", "true", "TRUE"} {
		cfg, err := lineoauth.ConfigFromEnv(env("LINE_CHANNEL_ID", "1", "LINE_CHANNEL_SECRET", "s", "LINE_OAUTH_BASE_URL", "http://emulator:8080",
			"LINE_OAUTH_ALLOW_PLAIN_HTTP", allow))
		if err != nil {
			t.Fatal(err)
		}
		_, err = lineoauth.New(cfg)
		if allow == "1" || strings.EqualFold(allow, "true") {
			if err != nil {
				t.Errorf("%q: %v", allow, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), "LINE_OAUTH_BASE_URL is plain http toward emulator") || !strings.Contains(err.Error(), "LINE_OAUTH_ALLOW_PLAIN_HTTP=1") {
			t.Errorf("%q: %v", allow, err)
		}
	}
	for _, host := range []string{"localhost..", "localhost.evil.example", "local\u017fhost", "loca\u2113host", "localho\u017ft", "127.1", "0177.0.0.1", "2130706433", "128.0.0.1", "[::ffff:1.2.3.4]", "[fe80::1]"} {
		if _, err := lineoauth.New(lineoauth.Config{BaseURL: "http://" + host}); !errors.Is(err, lineoauth.ErrInvalid) {
			t.Errorf("plain http toward %s: %v", host, err)
		}
	}
}

// What New finds wrong is named by its variable, and a secret in the wrong one is not
// shown.
func TestNewNamesVariables(t *testing.T) {
	key, err := jose.JSONWebKey{Key: testSigner(t), KeyID: "kid", Algorithm: "RS256", Use: "sig"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key-id")
	if err := os.WriteFile(file, []byte(theSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	for variable, tt := range map[string]struct{ value, want string }{
		"LINE_CHANNEL_ID":     {theSecret, "LINE_CHANNEL_ID: the channel ID contains something other than digits"},
		"LINE_KEY_ID":         {theSecret, `two key IDs: LINE_KEY_ID is set, but the key contains "kid"; remove the wrong one`},
		"LINE_KEY_ID_FILE":    {file, `two key IDs: LINE_KEY_ID_FILE is set, but the key contains "kid"; remove the wrong one`},
		"LINE_OAUTH_BASE_URL": {"https://line.example:99999/" + theSecret, "LINE_OAUTH_BASE_URL has a port above 65535; "},
	} {
		values := map[string]string{"LINE_CHANNEL_ID": "1", "LINE_PRIVATE_KEY": string(key)}
		values[variable] = tt.value
		cfg, err := lineoauth.ConfigFromEnv(func(name string) string { return values[name] })
		if err != nil {
			t.Fatal(err)
		}
		if _, err = lineoauth.New(cfg); !errors.Is(err, lineoauth.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", variable, err, tt.want)
			continue
		}
		fitForALog(t, err, theSecret)
	}
}

// The error of a file that cannot be read says what to do, once.
func TestUnreadableFilesAdvise(t *testing.T) {
	dir := t.TempDir()
	file, loop := filepath.Join(dir, "file"), filepath.Join(dir, "loop")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	paths := map[string]string{
		"missing":      filepath.Join(dir, "nothing"),
		"a directory":  dir,
		"below a file": filepath.Join(file, "x"),
		"a secret":     theSecret,
	}
	if err := os.Symlink(loop, loop); err == nil {
		paths["a loop"] = loop
	}
	for _, name := range []string{"LINE_CHANNEL_SECRET_FILE", "LINE_PRIVATE_KEY_FILE", "LINE_KEY_ID_FILE"} {
		for what, path := range paths {
			_, err := lineoauth.ConfigFromEnv(env("LINE_CHANNEL_ID", "1", name, path))
			if err == nil || strings.Count(err.Error(), "; name a file that exists and that this user can read") != 1 || strings.Contains(err.Error(), "use the path") {
				t.Errorf("%s is %s: %v", name, what, err)
			}
		}
		for _, key := range []string{`{"kty":"RSA","d":"` + strings.Repeat("hunter2", 40) + `"}`, `{"kty":"RSA","d":"hunter2"}`, `-----BEGIN hunter2\n`} {
			_, err := lineoauth.ConfigFromEnv(env("LINE_CHANNEL_ID", "1", name, key))
			if err == nil || !strings.Contains(err.Error(), "; set it to the path of a file") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s is a key: %v", name, err)
			}
		}
	}
}
