package assertion

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addPEM adds the blocks of PEM in a text, whatever their line breaks.
func (f *found) addPEM(text string) {
	for _, block := range strings.Split(text, begin)[1:] {
		label, body, ok := strings.Cut(block, "-----")
		if !ok {
			f.add(nil, errors.New("the PEM is damaged or cut off: its -----BEGIN line does not end in five dashes; "+copyPEM), "")
			continue
		}
		body, _, ended := strings.Cut(body, "-----END")
		key, err := parseBlock(label, body, ended)
		f.add(key, err, "PEM")
	}
}

// parseBlock reads a block of PEM by its label and what follows.
func parseBlock(label, body string, ended bool) (*Key, error) {
	label = strings.Join(strings.Fields(label), " ")
	kind := strings.ReplaceAll(label, " ", "")
	if kind == "ENCRYPTEDPRIVATEKEY" || strings.Contains(body, "ENCRYPTED") {
		return nil, errors.New("the PEM is encrypted; " + decrypt)
	}
	switch kind {
	case "PRIVATEKEY", "RSAPRIVATEKEY":
	case "ECPRIVATEKEY":
		return nil, refuse(notRSA, "the key is EC; "+wanted)
	case "OPENSSHPRIVATEKEY":
		return nil, refuse(notRSA, "the key is in OpenSSH's own format; "+wanted)
	case "CERTIFICATE":
		return nil, refuse(notPrivate, "the PEM is a certificate; "+wanted)
	case "PUBLICKEY", "RSAPUBLICKEY":
		return nil, refuse(notPrivate, "the PEM is a public key; use the private one")
	default:
		return nil, refuse(notKey, fmt.Sprintf("the PEM contains a %q; %s", short(label), wanted))
	}
	text := body
	if !ended { // by a line that would tell it from other text
		text = longestBase64(body)
	}
	for der := range decodings(text) {
		if _, ok := derLength(der); ok {
			return parseDER(der, "PEM")
		}
	}
	return nil, unusablePEM(body, ended)
}

// unusablePEM describes the damage of a PEM whose body is not DER.
func unusablePEM(body string, ended bool) error {
	var seen []string
	add := func(format string, args ...any) { seen = append(seen, fmt.Sprintf(format, args...)) }
	text := compact(body)
	if !ended {
		add("it has no -----END line")
	}
	switch {
	case text == "":
		return errors.New("the PEM is damaged or cut off: nothing follows its -----BEGIN line; " + copyPEM)
	case strings.ContainsAny(strings.TrimSpace(body), "\r\n") || len(text) <= 76:
	case strings.Contains(body, `\`):
		add(`the line breaks are written as \n`)
	case strings.HasPrefix(text, "nM"):
		add("the line breaks were replaced by the letter n")
	case strings.ContainsFunc(strings.TrimSpace(body), unicode.IsSpace):
		add("the line breaks were replaced by blanks")
	default:
		add("the line breaks are missing")
	}
	decoded, ok := decodeBase64(text)
	length, _ := derLength(decoded)
	foreign := strings.TrimLeft(text, tokenAlphabet)
	switch {
	case !ok && foreign != "":
		_, size := utf8.DecodeRuneInString(foreign)
		add("it contains a %q, which is not base64", foreign[:size])
	case ok && length > len(decoded):
		add("it contains no usable key: %d of %d bytes are missing", length-len(decoded), length)
	case ok && 0 < length && length < len(decoded):
		add("it contains no usable key: it has %d extra bytes", len(decoded)-length)
	case !ok:
		add("part of a line is missing")
	default:
		add("it contains no usable key")
	}
	return fmt.Errorf("the PEM is damaged or cut off: %s; %s", strings.Join(seen, ", and "), copyPEM)
}

const decrypt = "decrypt it first: openssl pkey -in KEY.pem -out DECRYPTED.pem"

const tokenAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
