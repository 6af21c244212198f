package targets_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// What a person writes for an operation that a newer document has added: a method,
// the emulator's answer, and the one row by which all tests of all operations know it.
const (
	newMethod = `package lineoauth

import (
	"context"
	"net/http"

	"github.com/lineoauth/lineoauth/gen"
)

// ExplainChannelToken is of a test.
func (c *Client) ExplainChannelToken(ctx context.Context, accessToken string) (*Verification, error) {
	ans, err := c.do(ctx, &call{op: OpExplainChannelToken, request: explainRequest, by: bySecret, token: accessToken})
	v, err := read(ans, err, gen.ParseExplainChannelTokenResponse)
	if err != nil {
		return nil, err
	}
	return ans.verification(v.ClientID, v.Scope, int64(v.ExpiresIn))
}

func explainRequest(cl *call, server string) (*http.Request, error) {
	return gen.NewExplainChannelTokenRequestWithFormdataBody(server, gen.ExplainChannelTokenFormdataRequestBody{
		AccessToken: cl.token, ClientID: cl.channelID, ClientSecret: cl.secret,
	})
}
`
	newAnswer = `package lineoauthtest

import "net/http"

func (h handler) ExplainChannelToken(w http.ResponseWriter, r *http.Request) {
	form, bad := readForm(w, r, "access_token", "client_id", "client_secret")
	h.answer(w, bad, func() (any, *refusal) {
		t := h.find(form.Get("access_token"))
		if t == nil {
			return nil, oauthRefusal(invalidRequest, "access_token invalid")
		}
		return h.verification(t), nil
	})
}
`
	newRow = `	{"explain", lineoauth.OpExplainChannelToken, false, lineoauth.ShortLived, of((*lineoauth.Client).ExplainChannelToken)},
`
)

// explained adds an operation to the document that is like no other.
func explained(object map[string]any) {
	if object["/v2/oauth/verify"] == nil {
		return
	}
	text := map[string]any{"type": "string"}
	verify := object["/v2/oauth/verify"].(map[string]any)["post"].(map[string]any)
	object["/v2/oauth/explain"] = map[string]any{"post": map[string]any{
		"operationId": "explainChannelToken",
		"summary":     "Explain a token",
		"responses":   verify["responses"],
		"requestBody": map[string]any{"required": true, "content": map[string]any{form: map[string]any{"schema": map[string]any{
			"type": "object", "required": []string{"access_token", "client_id", "client_secret"},
			"properties": map[string]any{"access_token": text, "client_id": text, "client_secret": text, "language": text},
		}}}},
	}}
}

// A new operation is one row. Without a method it is none: see
// TestVariantsOfTheContract, where nothing is written manually.
func TestNewOperation(t *testing.T) {
	takesLong(t)
	t.Parallel()
	c := clone{dir: checkout(t), env: []string{"LC_ALL=C"}} // some machines do not know that of the others
	c.edit(t, explained)
	says(t, c.run(t, "go", "generate", "./..."), 0)
	for _, constant := range []string{"OpExplainChannelToken is POST /v2/oauth/explain: explain a token.", `Operation = "explainChannelToken"`} {
		if !strings.Contains(c.read(t, "operation.gen.go"), constant) {
			t.Errorf("operation.gen.go has no %s", constant)
		}
	}
	c.write(t, "explain.go", newMethod)
	says(t, c.run(t, "go", "test", "-run", "^TestEveryCallHasARow$", "."), 1, "OpExplainChannelToken: true; calls, in calls_test.go, has a row for it: false")
	c.replace(t, "calls_test.go", "var calls = []operationCall{\n", "var calls = []operationCall{\n"+newRow)

	const everywhere = "^Test(Wire|Facts|Faults|ErrorsHoldNoSecret|CallsNameWhatIsMissing|EveryCallHasARow)$"
	c.write(t, filepath.Join("lineoauthtest", "explain.go"), newAnswer)
	says(t, c.run(t, "go", "test", "-run", everywhere, "-update", "."), 0) // as make docs does
	says(t, c.run(t, "go", "vet", "./..."), 0)
	says(t, c.run(t, "go", "test", "-short", "-vet=off", ".", "./api", "./gen", "./lineoauthtest/...", "./internal/cli"), 0)
}
