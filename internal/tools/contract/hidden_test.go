package main

import (
	"slices"
	"strings"
	"testing"
)

func TestHidden(t *testing.T) {
	r := here(t)
	const jwt = "components schemas IssueStatelessChannelTokenByJWTAssertionRequest properties "
	text := map[string]any{"type": "string"}
	for name, test := range map[string]struct {
		change edit
		want   []string // "" for nothing
	}{
		"nothing": {edit{Set: map[string]any{"info title": "x"}}, nil},
		"a field of a form that the overlay replaces": {
			edit{Set: map[string]any{jwt + "nonce": map[string]any{"type": "string", "maxLength": 8, "description": "A number."}}},
			[]string{"POST /oauth2/v3/token: the field `nonce` of the request does not reach Go; in api/overlay.yml, add to the properties of the target $.paths['/oauth2/v3/token'].post:",
				"\n      nonce: {maxLength: 8, type: string}\n"},
		},
		"another type": {
			edit{Set: map[string]any{jwt + "client_assertion": map[string]any{"type": "integer"}}},
			[]string{"the field `client_assertion` of the request reaches Go with another type"},
		},
		"a field of an error": {
			edit{Set: map[string]any{"paths /v2/oauth/verify post responses 403": map[string]any{"description": "no", "content": map[string]any{
				"application/json": map[string]any{"schema": map[string]any{"type": "object", "properties": map[string]any{"code": text, "error": text}}}}}}},
			[]string{"POST /v2/oauth/verify: the field `code` of the answer 403 does not reach Go"},
		},
		"a field of errors that the overlay extends": {edit{Set: map[string]any{"components schemas ErrorResponse properties trace": text}}, nil},
		"a field of an answer":                       {edit{Set: map[string]any{"components schemas VerifyChannelAccessTokenResponse properties bot_id": text}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			lines, err := r.judge(t.Context()).hidden(source{name: "it", text: edited(t, read(t, "testdata/base.yml"), test.change), read: r.readHere})
			if err != nil {
				t.Fatal(err)
			}
			all := strings.Join(lines, "\n")
			if len(lines) > 0 != (len(test.want) > 0) || slices.ContainsFunc(test.want, func(want string) bool { return !strings.Contains(all, want) }) {
				t.Errorf("%s\nwant %q", all, test.want)
			}
		})
	}
}
