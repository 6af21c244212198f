package api_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oapi-codegen/oapi-codegen/v2/pkg/util"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/gen"
)

const contract = "channel-access-token.yml"

const (
	form      = "application/x-www-form-urlencoded"
	reference = "https://developers.line.biz/en/reference/messaging-api/#"
)

type operation struct {
	method, path, anchor string
	query                []string   // required parameters
	forms                [][]string // required fields, one form or either of two
	answer               []string   // "name type format =default", with r for required
}

// operations is LINE's contract, written a second time, manually. The document may say
// more than that, in any order, with its schemas wherever it likes.
var operations = map[string]operation{
	"issueStatelessChannelToken": {"POST", "/oauth2/v3/token", "issue-stateless-channel-access-token", nil,
		[][]string{
			{"client_assertion", "client_assertion_type[urn:ietf:params:oauth:client-assertion-type:jwt-bearer]", "grant_type[client_credentials]"},
			{"client_id", "client_secret", "grant_type[client_credentials]"},
		},
		[]string{"access_token string r", "expires_in integer int32 r", "token_type string =Bearer r"}},
	"getsAllValidChannelAccessTokenKeyIds": {"GET", "/oauth2/v2.1/tokens/kid", "get-all-valid-channel-access-token-key-ids-v2-1",
		[]string{"client_assertion", "client_assertion_type"}, nil, []string{"kids array r"}},
	"issueChannelTokenByJWT": {"POST", "/oauth2/v2.1/token", "issue-channel-access-token-v2-1", nil,
		[][]string{{"client_assertion", "client_assertion_type", "grant_type"}},
		[]string{"access_token string r", "expires_in integer int32 r", "key_id string r", "token_type string =Bearer r"}},
	"verifyChannelTokenByJWT": {"GET", "/oauth2/v2.1/verify", "verify-channel-access-token-v2-1",
		[]string{"access_token"}, nil, []string{"client_id string r", "expires_in integer int64 r", "scope string"}},
	"revokeChannelTokenByJWT": {"POST", "/oauth2/v2.1/revoke", "revoke-channel-access-token-v2-1",
		nil, [][]string{{"access_token", "client_id", "client_secret"}}, nil},
	"issueChannelToken": {"POST", "/v2/oauth/accessToken", "issue-shortlived-channel-access-token",
		nil, [][]string{{"client_id", "client_secret", "grant_type"}},
		[]string{"access_token string r", "expires_in integer int32 r", "token_type string =Bearer r"}},
	"verifyChannelToken": {"POST", "/v2/oauth/verify", "verify-channel-access-token",
		nil, [][]string{{"access_token"}}, []string{"client_id string r", "expires_in integer int64 r", "scope string"}},
	"revokeChannelToken": {"POST", "/v2/oauth/revoke", "revoke-longlived-or-shortlived-channel-access-token",
		nil, [][]string{{"access_token"}}, nil},
}

func TestContract(t *testing.T) {
	doc, err := util.LoadSwagger(contract)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Errorf("not valid OpenAPI: %v", err)
	}
	got := make(map[string]operation)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			want, known := operations[op.OperationID]
			if !known {
				continue // one that came later
			}
			o := operation{method: method, path: path, anchor: want.anchor}
			if op.ExternalDocs != nil {
				o.anchor = strings.TrimPrefix(op.ExternalDocs.URL, reference)
			}
			for _, p := range op.Parameters {
				if p.Value.In == "query" && p.Value.Required {
					o.query = append(o.query, p.Value.Name)
				}
			}
			slices.Sort(o.query)
			if op.RequestBody != nil {
				schema := op.RequestBody.Value.Content[form].Schema
				forms := schema.Value.OneOf
				if forms == nil {
					forms = append(forms, schema)
				}
				for _, one := range forms {
					var names []string
					for _, name := range one.Value.Required {
						if values := one.Value.Properties[name].Value.Enum; values != nil {
							name = fmt.Sprint(name, values)
						}
						names = append(names, name)
					}
					slices.Sort(names)
					o.forms = append(o.forms, names)
				}
				slices.SortFunc(o.forms, slices.Compare)
			}
			if media := op.Responses.Status(200).Value.Content["application/json"]; media != nil {
				for name, field := range media.Schema.Value.Properties {
					words := append([]string{name}, field.Value.Type.Slice()...)
					if field.Value.Format != "" {
						words = append(words, field.Value.Format)
					}
					if field.Value.Default != nil {
						words = append(words, fmt.Sprint("=", field.Value.Default))
					}
					if slices.Contains(media.Schema.Value.Required, name) {
						words = append(words, "r")
					}
					if text := strings.Join(words, " "); slices.Contains(want.answer, text) || strings.HasSuffix(text, " r") {
						o.answer = append(o.answer, text)
					}
				}
				slices.Sort(o.answer)
			}
			got[op.OperationID] = o
		}
	}
	if diff := cmp.Diff(operations, got, cmp.AllowUnexported(operation{})); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
}

func TestOperationsAreTheContracts(t *testing.T) {
	doc, err := util.LoadSwagger(contract)
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			want = append(want, op.OperationID)
		}
	}
	for _, op := range lineoauth.Operations() {
		got = append(got, string(op))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Operations (-want +got):\n%s", diff)
	}
}

// The contract describes LINE, the overlay Go.
func TestContractHasNoExtension(t *testing.T) {
	text, err := os.ReadFile(contract)
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`(?m)^\s*x-(go|oapi)-\S+:`).FindAll(text, -1); found != nil {
		t.Errorf("extensions in %s: %q", contract, found)
	}
}

func TestServerComesFromTheContract(t *testing.T) {
	doc, err := util.LoadSwagger(contract)
	if err != nil {
		t.Fatal(err)
	}
	if want := doc.Servers[0].URL; gen.DefaultServerURL != want {
		t.Errorf("gen.DefaultServerURL = %q, the contract says %q", gen.DefaultServerURL, want)
	}
	host := strings.TrimPrefix(gen.DefaultServerURL, "https://")
	err = filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") ||
			strings.HasSuffix(path, ".gen.go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), host) {
			t.Errorf("%s types %s once more", path, host)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
