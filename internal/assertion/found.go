package assertion

import (
	"errors"
	"fmt"
)

// rank is how close something is to the private key that LINE accepts.
type rank int

const (
	notKey     rank = iota
	notPrivate      // a public key or a certificate
	notRSA
	unusable // a private RSA key that is damaged, encrypted, or for another use
)

// A refusal is the error for something other than an unusable private RSA key.
type refusal struct {
	error
	rank rank
}

func refuse(r rank, text string) error { return &refusal{errors.New(text), r} }

func rankOf(err error) rank {
	if r := new(refusal); errors.As(err, &r) {
		return r.rank
	}
	return unusable
}

// found collects the private keys in a text, and why others are unusable.
type found struct {
	keys []*Key
	in   string // what contains the keys, for errors
	err  error  // the first of the highest rank
}

func (f *found) none() bool { return len(f.keys) == 0 && f.err == nil }

// add adds a key, unless it is there already, or the error of an unusable one.
func (f *found) add(key *Key, err error, in string) {
	if err != nil {
		if f.err == nil || rankOf(err) > rankOf(f.err) {
			f.err = err
		}
		return
	}
	for i, other := range f.keys {
		if !other.public.Equal(key.public) || other.id != "" && key.id != "" && other.id != key.id {
			continue
		}
		if other.id == "" {
			f.keys[i] = key
		}
		return
	}
	if len(f.keys) > 0 && f.in != in {
		in = "text"
	}
	f.keys, f.in = append(f.keys, key), in
}

// key returns the one key that LINE would accept. A single key of another size is
// returned, too, for Check to refuse.
func (f *found) key() (*Key, error) {
	var fitting []*Key
	for _, key := range f.keys {
		if key.Check() == nil {
			fitting = append(fitting, key)
		}
	}
	switch {
	case len(fitting) == 1:
		return fitting[0], nil
	case len(f.keys) == 2 && f.keys[0].public.Equal(f.keys[1].public):
		return nil, fmt.Errorf("the private key has two key IDs: %q and %q; remove the wrong one", short(f.keys[0].id), short(f.keys[1].id))
	case len(f.keys) > 1:
		return nil, fmt.Errorf("the %s has %d private keys; use only the one whose public key is registered with LINE", f.in, len(f.keys))
	case len(f.keys) == 1 && (f.err == nil || rankOf(f.err) < unusable):
		return f.keys[0], nil
	}
	return nil, f.err
}
