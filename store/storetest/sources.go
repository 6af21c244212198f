package storetest

import (
	"sync"
	"testing"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
	"github.com/lineoauth/lineoauth/store"
)

// testSources lets sources in many processes share one token.
func testSources(t *testing.T, open func() store.Store) {
	const processes = 10
	line := lineoauthtest.NewServer()
	defer line.Close()
	issues := func() int { return line.State().Calls[lineoauth.OpIssueChannelTokenByJWT] }
	start := func() *lineoauth.Source {
		client, err := lineoauth.New(line.Config())
		if err != nil {
			t.Fatal(err)
		}
		source, err := client.Source(lineoauth.SourceConfig{Kind: lineoauth.V21, Store: open()})
		if err != nil {
			t.Fatal(err)
		}
		return source
	}
	token := func(source *lineoauth.Source) string {
		t.Helper()
		token, err := source.Token(t.Context())
		if err != nil {
			t.Fatalf("Token: %v", err)
		}
		return token.AccessToken.Reveal()
	}
	sources := make([]*lineoauth.Source, processes)
	for i := range sources {
		sources[i] = start()
		defer sources[i].Close()
	}
	var wg sync.WaitGroup
	for _, source := range sources {
		wg.Go(func() { _, _ = source.Token(t.Context()) })
	}
	wg.Wait()
	first := token(sources[0])
	for i, source := range sources {
		if token(source) != first {
			t.Errorf("source %d has a token of its own", i)
		}
	}
	late := start()
	defer late.Close()
	if token(late) != first {
		t.Error("a source that starts later has a token of its own")
	}
	if n := issues(); n != 1 {
		t.Fatalf("%d tokens were issued to %d processes; want 1", n, processes+1)
	}

	line.Channel().RevokeToken(first)
	all := append(sources, late)
	for i, source := range all {
		wg.Go(func() {
			if replaced, err := source.Invalidate(t.Context(), first); !replaced || err != nil {
				t.Errorf("source %d continues with a token that LINE refuses: %v", i, err)
			}
		})
	}
	wg.Wait()
	second := token(late)
	for i, source := range all {
		if got := token(source); got != second || got == first {
			t.Errorf("source %d has another token than the others after the first was refused", i)
		}
	}
	if n := issues(); n != 2 {
		t.Errorf("%d tokens were issued after one was refused; want 2", n)
	}
}
