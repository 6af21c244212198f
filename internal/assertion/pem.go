package assertion

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// parsePEM splits PEM into blocks, whatever their line breaks.
func parsePEM(text string) (*Key, error) {
	var firstErr error
	for _, block := range strings.Split(text, begin)[1:] {
		label, body, ok := strings.Cut(block, "-----")
		if !ok {
			continue
		}
		body, _, ended := strings.Cut(body, "-----END")
		key, err := parseBlock(label, body, ended)
		if err == nil {
			return key, nil
		}
		if firstErr == nil {
			firstErr = err
		}
	}
	if firstErr == nil {
		firstErr = errors.New("the PEM is damaged or cut off: its -----BEGIN line does not end in five dashes; " + copyPEM)
	}
	return nil, firstErr
}

// parseBlock reads a block of PEM by its label and what follows.
func parseBlock(label, body string, ended bool) (*Key, error) {
	label = strings.Join(strings.Fields(label), " ")
	kind := strings.ReplaceAll(label, " ", "")
	if kind == "ENCRYPTEDPRIVATEKEY" || strings.Contains(body, "ENCRYPTED") {
		return nil, errors.New("the PEM is encrypted; decrypt it first: openssl pkey -in KEY.pem -out DECRYPTED.pem")
	}
	switch kind {
	case "PRIVATEKEY", "RSAPRIVATEKEY":
	case "ECPRIVATEKEY":
		return nil, errors.New("the key is EC; " + wanted)
	case "OPENSSHPRIVATEKEY":
		return nil, errors.New("the key is in OpenSSH's own format; " + wanted)
	case "CERTIFICATE":
		return nil, errors.New("the PEM is a certificate; " + wanted)
	case "PUBLICKEY", "RSAPUBLICKEY":
		return nil, errors.New("the PEM is a public key; use the private one")
	default:
		return nil, fmt.Errorf("the PEM contains a %q; %s", short(label), wanted)
	}
	for der := range decodings(body) {
		if _, ok := derLength(der); !ok {
			continue
		}
		key, err := parseDER(der)
		if err != nil {
			return nil, fmt.Errorf("the PEM contains no usable key (%w); %s", err, wanted)
		}
		return key, nil
	}
	return nil, unusablePEM(body, ended)
}

// derLength returns the length in a DER header, and whether it is valid.
func derLength(der []byte) (length int, ok bool) {
	if len(der) >= 4 && der[0] == 0x30 && der[1] == 0x82 {
		length = 4 + int(der[2])<<8 + int(der[3])
		return length, length == len(der)
	}
	var whole asn1.RawValue
	rest, err := asn1.Unmarshal(der, &whole)
	return 0, err == nil && len(rest) == 0 && der[0] == 0x30
}

// parseDER reads PKCS #8 or PKCS #1.
func parseDER(der []byte) (*Key, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		private, err1 := x509.ParsePKCS1PrivateKey(der)
		if err1 != nil {
			return nil, err
		}
		parsed = private
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the key is %s", keyName(parsed))
	}
	return NewKey(signer, "")
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

const tokenAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
