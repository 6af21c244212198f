// Package oauth2adapt adapts a [lineoauth.Source] to an [oauth2.TokenSource], for
// programs and libraries that use golang.org/x/oauth2.
//
// For requests to LINE, prefer
// [lineoauth.Transport]: it sends the token only to LINE's hosts, and replaces a
// token that LINE refuses. A client of package oauth2 does neither.
package oauth2adapt

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/lineoauth/lineoauth"
)

// TokenSource returns an [oauth2.TokenSource] that returns the tokens of source. Its
// Token method uses ctx for each call, since it takes no context of its own. It
// returns the errors of [lineoauth.Source.Token].
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
