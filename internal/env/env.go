// Package env reads settings from environment variables and the files that they name.
// It tolerates what shells, containers and editors add: white space, a byte order
// mark or quotes around the value.
package env

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lineoauth/lineoauth/internal/assertion"
)

// The environment variables of lineoauth.ConfigFromEnv.
const (
	ChannelID         = "LINE_CHANNEL_ID"
	ChannelSecret     = "LINE_CHANNEL_SECRET"
	ChannelSecretFile = "LINE_CHANNEL_SECRET_FILE"
	PrivateKey        = "LINE_PRIVATE_KEY"
	PrivateKeyFile    = "LINE_PRIVATE_KEY_FILE"
	KeyID             = "LINE_KEY_ID"
	KeyIDFile         = "LINE_KEY_ID_FILE"
	BaseURL           = "LINE_OAUTH_BASE_URL"
	AllowPlainHTTP    = "LINE_OAUTH_ALLOW_PLAIN_HTTP"
)

// Trim removes white space, invisible characters such as a byte order mark, and one
// pair of quotes around a value.
func Trim(text string) string { return assertion.Trim(text) }

// Value returns the trimmed value of a variable. The error names the variable, but
// not the value, which may be a secret.
func Value(name, text string) (string, error) {
	value := Trim(text)
	if wrong := flaw(value, true); wrong != "" {
		return "", fmt.Errorf("%s has %s; copy the value again", name, wrong)
	}
	return value, nil
}

// Path is Value for a path, which may have spaces inside.
func Path(name, text string) (string, error) {
	value := Trim(text)
	wrong := flaw(value, false)
	switch {
	case wrong != "" && assertion.LooksLikeKey(value):
		return "", fmt.Errorf("%s contains a key, not a path; set it to the path of a file with the key", name)
	case wrong != "":
		return "", fmt.Errorf("%s has %s; set it to the path of a file", name, wrong)
	}
	return value, nil
}

// flaw describes an invalid character in a value, or returns "". A word may not
// contain spaces.
func flaw(value string, word bool) string {
	if !utf8.ValidString(value) {
		return "bytes inside that are not UTF-8"
	}
	for _, r := range value {
		switch {
		case r == '\n' || r == '\r':
			return "a line break inside"
		case unicode.IsControl(r):
			return fmt.Sprintf("the control character %U inside", r)
		case word && unicode.Is(unicode.Cf, r):
			return fmt.Sprintf("the invisible character %U inside", r)
		case word && unicode.IsSpace(r):
			return "a space inside"
		}
	}
	if assertion.HalfQuoted(value) {
		return "a quotation mark at one end"
	}
	return ""
}

// Bool reads a switch: 1 or true means on; 0, false or an empty value means off.
func Bool(name, text string) (bool, error) {
	switch value := Trim(text); {
	case value == "1" || isTrue(value):
		return true, nil
	case value == "" || value == "0" || len(value) == len("false") && strings.EqualFold(value, "false"):
		return false, nil
	}
	return false, fmt.Errorf("invalid %s: set it to 1 or true, or unset it", name)
}

// isTrue is strict: EqualFold alone would also accept similar-looking letters.
func isTrue(value string) bool { return len(value) == len("true") && strings.EqualFold(value, "true") }

// File returns the value in the file that a variable names.
func File(name, path string) (string, error) {
	text, err := ReadFile(name, path)
	if err != nil {
		return "", err
	}
	value, err := Value("the file of "+name, text)
	if err == nil && value == "" {
		err = fmt.Errorf("the file of %s is empty; write the value into it", name)
	}
	return value, err
}

// ReadFile returns the text of the file that a variable names, in UTF-8 or UTF-16.
func ReadFile(name, path string) (string, error) {
	data, err := assertion.ReadFile(path)
	advice := "name a file that exists and that this user can read"
	switch {
	case err == nil:
		return assertion.Decode(data), nil
	case assertion.LooksLikeKey(path):
		advice = "set it to the path of a file that contains it"
	case errors.Is(err, assertion.ErrPipe):
		advice = "write the value into it and close it, or name a regular file"
	}
	return "", fmt.Errorf("cannot read the file of %s: %w; %s", name, err, advice)
}

// Reader reads several variables, and collects their errors.
type Reader struct {
	Getenv func(string) string
	Errs   []error
}

func (r *Reader) failed(err error) {
	if err != nil {
		r.Errs = append(r.Errs, err)
	}
}

// Value reads a variable.
func (r *Reader) Value(name string) string {
	value, err := Value(name, r.Getenv(name))
	r.failed(err)
	return value
}

// Bool reads a switch.
func (r *Reader) Bool(name string) bool {
	on, err := Bool(name, r.Getenv(name))
	r.failed(err)
	return on
}

// ValueOrFile reads a variable, or the file that another variable names. It also
// returns the name of the variable that is set.
func (r *Reader) ValueOrFile(name, fileName string) (value, from string) {
	path, both := r.path(name, fileName)
	switch {
	case both:
		return "", ""
	case path == "":
		return r.Value(name), name
	}
	value, err := File(fileName, path)
	r.failed(err)
	return value, fileName
}

// TextOrFile is ValueOrFile for text of several lines.
func (r *Reader) TextOrFile(name, fileName string) (text, from string) {
	path, both := r.path(name, fileName)
	if both {
		return "", ""
	}
	if path == "" {
		return Trim(r.Getenv(name)), name
	}
	text, err := ReadFile(fileName, path)
	r.failed(err)
	if err == nil && Trim(text) == "" {
		r.failed(fmt.Errorf("the file of %s is empty; write the value into it", fileName))
		text = ""
	}
	return text, fileName
}

// path returns the path of a variable's file, if that is set, and fails if both
// variables are.
func (r *Reader) path(name, fileName string) (path string, both bool) {
	path, err := Path(fileName, r.Getenv(fileName))
	if (path != "" || err != nil) && Trim(r.Getenv(name)) != "" {
		r.failed(errors.New(name + " and " + fileName + " are both set; unset one"))
		return "", true
	}
	r.failed(err)
	return path, false
}
