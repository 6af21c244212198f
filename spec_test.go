package lineoauth_test

import (
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

const contract = "api/channel-access-token.yml"

const (
	form      = "application/x-www-form-urlencoded"
	reference = "https://developers.line.biz/en/reference/messaging-api/#"
)

type operation struct {
	method, path, anchor string
	request              []string // "name in|schema", required fields of form or query
	response             string   // the 200 answer's schema
}

// operations is LINE's contract, told once more, by hand.
var operations = map[string]operation{
	"issueStatelessChannelToken": {"POST", "/oauth2/v3/token", "issue-stateless-channel-access-token",
		[]string{"oneOf IssueStatelessChannelTokenByJWTAssertionRequest", "oneOf IssueStatelessChannelTokenByClientSecretRequest"},
		"IssueStatelessChannelAccessTokenResponse"},
	"getsAllValidChannelAccessTokenKeyIds": {"GET", "/oauth2/v2.1/tokens/kid", "get-all-valid-channel-access-token-key-ids-v2-1",
		[]string{"query client_assertion_type", "query client_assertion"}, "ChannelAccessTokenKeyIdsResponse"},
	"issueChannelTokenByJWT": {"POST", "/oauth2/v2.1/token", "issue-channel-access-token-v2-1",
		[]string{"form grant_type", "form client_assertion_type", "form client_assertion"}, "IssueChannelAccessTokenResponse"},
	"verifyChannelTokenByJWT": {"GET", "/oauth2/v2.1/verify", "verify-channel-access-token-v2-1",
		[]string{"query access_token"}, "VerifyChannelAccessTokenResponse"},
	"revokeChannelTokenByJWT": {"POST", "/oauth2/v2.1/revoke", "revoke-channel-access-token-v2-1",
		[]string{"form client_id", "form client_secret", "form access_token"}, ""},
	"issueChannelToken": {"POST", "/v2/oauth/accessToken", "issue-shortlived-channel-access-token",
		[]string{"form grant_type", "form client_id", "form client_secret"}, "IssueShortLivedChannelAccessTokenResponse"},
	"verifyChannelToken": {"POST", "/v2/oauth/verify", "verify-channel-access-token",
		[]string{"form access_token"}, "VerifyChannelAccessTokenResponse"},
	"revokeChannelToken": {"POST", "/v2/oauth/revoke", "revoke-longlived-or-shortlived-channel-access-token",
		[]string{"form access_token"}, ""},
}

// schemas tells each schema's fields as "name type format", with r for required.
var schemas = map[string][]string{
	"IssueStatelessChannelTokenByJWTAssertionRequest": {"client_assertion string r", "client_assertion_type string r", "grant_type string r"},
	"IssueStatelessChannelTokenByClientSecretRequest": {"client_id string r", "client_secret string r", "grant_type string r"},
	"IssueStatelessChannelAccessTokenResponse":        {"access_token string r", "expires_in integer int32 r", "token_type string r"},
	"IssueShortLivedChannelAccessTokenResponse":       {"access_token string r", "expires_in integer int32 r", "token_type string r"},
	"IssueChannelAccessTokenResponse":                 {"access_token string r", "expires_in integer int32 r", "key_id string r", "token_type string r"},
	"VerifyChannelAccessTokenResponse":                {"client_id string r", "expires_in integer int64 r", "scope string"},
	"ChannelAccessTokenKeyIdsResponse":                {"kids array r"},
	"ErrorResponse":                                   {"error string", "error_description string"},
}

func TestContractOperations(t *testing.T) {
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
			o := operation{method: method, path: path, anchor: strings.TrimPrefix(op.ExternalDocs.URL, reference)}
			for _, p := range op.Parameters {
				if p.Value.Required {
					o.request = append(o.request, p.Value.In+" "+p.Value.Name)
				}
			}
			if op.RequestBody != nil {
				schema := op.RequestBody.Value.Content[form].Schema
				for _, one := range schema.Value.OneOf {
					o.request = append(o.request, "oneOf "+filepath.Base(one.Ref))
				}
				for _, name := range schema.Value.Required {
					o.request = append(o.request, "form "+name)
				}
				if len(schema.Value.Required) != len(schema.Value.Properties) {
					t.Errorf("%s: not every field of the form is required", op.OperationID)
				}
			}
			if media := op.Responses.Status(200).Value.Content["application/json"]; media != nil {
				o.response = filepath.Base(media.Schema.Ref)
			}
			if !slices.Equal(op.Tags, []string{"channel-access-token"}) {
				t.Errorf("%s: tags %q", op.OperationID, op.Tags)
			}
			got[op.OperationID] = o
		}
	}
	if doc.Info.Title != "Channel Access Token API" {
		t.Errorf("title = %q", doc.Info.Title)
	}
	for path, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			bad := op.Responses.Status(400)
			if (bad != nil) != (op.OperationID == "issueChannelToken") || bad != nil && filepath.Base(bad.Value.Content["application/json"].Schema.Ref) != "ErrorResponse" {
				t.Errorf("%s: the 400 answer is %+v", path, bad)
			}
		}
	}
	if diff := cmp.Diff(operations, got, cmp.AllowUnexported(operation{})); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
}

func TestContractSchemas(t *testing.T) {
	doc, err := util.LoadSwagger(contract)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]string)
	for name, schema := range doc.Components.Schemas {
		for field, property := range schema.Value.Properties {
			words := append([]string{field}, property.Value.Type.Slice()...)
			if property.Value.Format != "" {
				words = append(words, property.Value.Format)
			}
			if slices.Contains(schema.Value.Required, field) {
				words = append(words, "r")
			}
			got[name] = append(got[name], strings.Join(words, " "))
		}
		slices.Sort(got[name])
	}
	if diff := cmp.Diff(schemas, got); diff != "" {
		t.Errorf("schemas (-want +got):\n%s", diff)
	}
	for _, kind := range []string{"Stateless", "ShortLived", ""} {
		if got := doc.Components.Schemas["Issue"+kind+"ChannelAccessTokenResponse"].Value.Properties["token_type"].Value.Default; got != "Bearer" {
			t.Errorf("%s token_type is %v by default", kind, got)
		}
	}
	for _, by := range []string{"ByJWTAssertion", "ByClientSecret"} {
		request := doc.Components.Schemas["IssueStatelessChannelToken"+by+"Request"].Value.Properties
		if got := request["grant_type"].Value.Enum; !slices.Equal(got, []any{"client_credentials"}) {
			t.Errorf("%s: grant_type is one of %v", by, got)
		}
	}
	request := doc.Components.Schemas["IssueStatelessChannelTokenByJWTAssertionRequest"].Value.Properties
	if got := request["client_assertion_type"].Value.Enum; !slices.Equal(got, []any{"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}) {
		t.Errorf("client_assertion_type is one of %v", got)
	}
}

func TestOperationsAreTheContracts(t *testing.T) {
	doc, err := util.LoadSwagger(contract)
	if err != nil {
		t.Fatal(err)
	}
	var want []lineoauth.Operation
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			want = append(want, lineoauth.Operation(op.OperationID))
		}
	}
	got := lineoauth.Operations()
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
	if found := regexp.MustCompile(`(?m)^\s*x-\S+:`).FindAll(text, -1); found != nil {
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
	err = filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
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
