package assertion

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
)

// addDER adds what DER contains, and nothing for other data.
func (f *found) addDER(der []byte, in string) {
	if _, ok := derLength(der); !ok {
		return
	}
	key, err := parseDER(der, in)
	f.add(key, err, in)
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
func parseDER(der []byte, in string) (*Key, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if err := otherDER(der, in); err != nil {
			return nil, err
		}
		private, err1 := x509.ParsePKCS1PrivateKey(der)
		if err1 != nil {
			return nil, fmt.Errorf("the %s contains no usable key (%w); %s", in, err, wanted)
		}
		parsed = private
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, refuse(notRSA, fmt.Sprintf("the key is %s; %s", keyName(parsed), wanted))
	}
	key, err := NewKey(signer, "")
	if err != nil {
		return nil, &refusal{err, notRSA}
	}
	return key, nil
}

// otherDER returns an error that names a known structure other than a private RSA key.
func otherDER(der []byte, in string) error {
	var encrypted struct { // PKCS #8
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	var archive struct { // PKCS #12
		Version int
		Content struct {
			Type asn1.ObjectIdentifier
			Data asn1.RawValue
		}
	}
	_, notEncrypted := asn1.Unmarshal(der, &encrypted)
	_, notArchive := asn1.Unmarshal(der, &archive)
	switch {
	case notEncrypted == nil:
		return fmt.Errorf("the %s is encrypted; %s", in, decrypt)
	case notArchive == nil && archive.Version == 3:
		return fmt.Errorf("the %s is PKCS #12; extract the key first: openssl pkcs12 -in KEY.p12 -nocerts -nodes -out KEY.pem", in)
	case succeeds(x509.ParseECPrivateKey(der)):
		return refuse(notRSA, "the key is EC; "+wanted)
	case succeeds(x509.ParsePKIXPublicKey(der)) || succeeds(x509.ParsePKCS1PublicKey(der)):
		return refuse(notPrivate, "the "+in+" is a public key; use the private one")
	case succeeds(x509.ParseCertificate(der)):
		return refuse(notPrivate, "the "+in+" is a certificate; "+wanted)
	}
	return nil
}

func succeeds[T any](_ T, err error) bool { return err == nil }
