package interop

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/lineoauth/lineoauth/lineoauthtest"
)

// line-bot-sdk-python requires all arguments of issue_stateless_channel_token, so bots
// that have a secret pass empty strings for the assertion's (its issue 823, 2025-07).
func TestStatelessTokenAsPythonAsksForIt(t *testing.T) {
	srv := lineoauthtest.NewServer()
	t.Cleanup(srv.Close)
	form := "grant_type=client_credentials&client_assertion_type=&client_assertion=&client_id=" + srv.Channel().ID + "&client_secret=" + srv.Channel().Secret
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/oauth2/v3/token", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	var token struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.NewDecoder(rsp.Body).Decode(&token); err != nil || rsp.StatusCode != http.StatusOK {
		t.Fatalf("answer: %d, %v", rsp.StatusCode, err)
	}
	if token.AccessToken == "" || token.TokenType != "Bearer" || token.ExpiresIn != 900 {
		t.Errorf("token_type %q, expires_in %d", token.TokenType, token.ExpiresIn)
	}
}
