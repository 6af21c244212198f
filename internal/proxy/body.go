package proxy

import (
	"errors"
	"io"
	"sync"
)

var (
	errTooLong = errors.New("the connection to LINE broke, and the body is too long to be sent again; send the request once more")
	errClosed  = errors.New("the body is closed")
)

// repeatable is a request body of unknown length. Each of its readers reads it from the
// start, as it comes from the client. After maxRepeat bytes there can be no other reader
// than the last one.
type repeatable struct {
	reading sync.Mutex // held while source is read, which may take long
	source  io.Reader

	mu      sync.Mutex
	kept    []byte // the body so far
	dropped bool   // kept is incomplete
	err     error  // that of source
	last    *bodyReader
}

// again returns a reader in the place of the last one.
func (b *repeatable) again() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dropped {
		return nil, errTooLong
	}
	b.last = &bodyReader{repeatable: b}
	return b.last, nil
}

// close makes all reads fail that have not begun.
func (b *repeatable) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = nil
}

// bodyReader reads a repeatable.
type bodyReader struct {
	*repeatable
	at int // in kept
}

func (r *bodyReader) Read(p []byte) (int, error) {
	if n, err := r.replay(p); n > 0 || err != nil {
		return n, err
	}
	r.reading.Lock()
	defer r.reading.Unlock()
	if n, err := r.replay(p); n > 0 || err != nil { // what the reader before has read meanwhile
		return n, err
	}
	n, err := r.source.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	switch {
	case r.dropped:
	case r != r.last || len(r.kept)+n <= maxRepeat: // the last reader needs what others have read
		r.kept = append(r.kept, p[:n]...)
		r.at += n
	default:
		r.kept, r.dropped = nil, true
	}
	return n, err
}

// replay reads what is kept. It returns 0, nil if source is to be read.
func (r *bodyReader) replay(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r != r.last:
		return 0, errClosed
	case !r.dropped && r.at < len(r.kept):
		n := copy(p, r.kept[r.at:])
		r.at += n
		return n, nil
	}
	return 0, r.err
}

// Close does nothing: the server closes its body itself.
func (r *bodyReader) Close() error { return nil }
