package wire_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/lineoauth/lineoauth/internal/wire"
)

// body reports whether it was closed.
type body struct {
	io.Reader
	closed bool
}

func (b *body) Close() error { b.closed = true; return nil }

type answering struct{ body io.ReadCloser }

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: a.body}, nil
}

// The connection of an answer is given back or closed, also where the answer is
// longer than what is read of it.
func TestBodyIsClosed(t *testing.T) {
	for name, size := range map[string]int{"short": 1, "too long": wire.MaxAnswer + 100} {
		b := &body{Reader: strings.NewReader(strings.Repeat(" ", size))}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://line.example/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		a := wire.Do(t.Context(), answering{b}, req, -1)
		if !b.closed || a.Err != nil || len(a.Bytes) != min(size, wire.MaxAnswer+1) {
			t.Errorf("%s: closed %v, %v, %d bytes", name, b.closed, a.Err, len(a.Bytes))
		}
		if again, err := io.ReadAll(a.Body); err != nil || len(again) != len(a.Bytes) {
			t.Errorf("%s: read again: %d bytes, %v", name, len(again), err)
		}
	}
}

// A name that comes twice is refused however it is written, at the top alone.
func TestFields(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":1,"b":null}`:                              "a b0",
		` {"a":{"a":1,"a":2},"A ":[{},1]}`:              "a A ",
		`{"a":1,"\u0061":2}`:                            "twice",
		`{"access_token":1,"acce\u017f\u017f_token":2}`: "twice",
		`{"a":"\"}","A":1}`:                             "twice",
		`[{"a":1,"a":2}]`:                               "",
		`7`:                                             "",
		`{"` + strings.Join(strings.Split(letters(101), ""), `":1,"`) + `":1}`: "more than 100",
	} {
		fields, err := wire.Fields([]byte(body))
		var got []string
		for _, f := range fields {
			name := string(f.Name)
			if f.Null {
				name += "0"
			}
			got = append(got, name)
		}
		text := strings.Join(got, " ")
		if err != nil {
			text = err.Error()
		}
		if err == nil && text != want || err != nil && (want == "" || !strings.Contains(text, want)) {
			t.Errorf("%.60s: %q", body, text)
		}
	}
}

// letters returns n letters of which none folds to another.
func letters(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteRune(rune(0x4E00 + i))
	}
	return b.String()
}
