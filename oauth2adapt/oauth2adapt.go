// Package oauth2adapt makes a [lineoauth.Source] an [oauth2.TokenSource], for
// programs and libraries built on golang.org/x/oauth2.
//
// To put tokens on requests to LINE, prefer [lineoauth.Transport]: it sends the
// token to LINE's hosts alone, and replaces one that LINE refuses. A client of
// package oauth2 does neither.
package oauth2adapt

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/lineoauth/lineoauth"
)

// TokenSource returns the tokens of source as package oauth2 has them. Each call
// of its Token waits no longer than ctx allows, since [oauth2.TokenSource] takes
// no context of its own; values of ctx reach the source, too. Its errors are
// those of [lineoauth.Source.Token].
func TokenSource(ctx context.Context, source *lineoauth.Source) oauth2.TokenSource {
	return tokenSource{ctx, source}
}

type tokenSource struct {
	ctx    context.Context
	source *lineoauth.Source
}

func (s tokenSource) Token() (*oauth2.Token, error) {
	token, err := s.source.Token(s.ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{
		AccessToken: token.AccessToken.Reveal(),
		TokenType:   token.TokenType,
		Expiry:      token.ExpiresAt(),
		ExpiresIn:   token.ExpiresIn,
	}, nil
}
