package gen_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oapi-codegen/oapi-codegen/v2/pkg/util"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/gen"
)

// oapi-codegen encodes a form body that is a oneOf as the empty string.
func TestStatelessFormIsNotEmpty(t *testing.T) {
	for name, tt := range map[string]struct {
		body gen.IssueStatelessChannelTokenFormdataRequestBody
		want url.Values
	}{
		"by assertion": {
			gen.IssueStatelessChannelTokenFormdataRequestBody{GrantType: "g", ClientAssertionType: "t", ClientAssertion: "a"},
			url.Values{"grant_type": {"g"}, "client_assertion_type": {"t"}, "client_assertion": {"a"}},
		},
		"by secret": {
			gen.IssueStatelessChannelTokenFormdataRequestBody{GrantType: "g", ClientID: "i", ClientSecret: "s+/="},
			url.Values{"grant_type": {"g"}, "client_id": {"i"}, "client_secret": {"s+/="}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := gen.NewIssueStatelessChannelTokenRequestWithFormdataBody("https://line.example", tt.body)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(req.Body)
			if err != nil {
				t.Fatal(err)
			}
			got, err := url.ParseQuery(string(body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("form (-want +got):\n%s", diff)
			}
		})
	}
}

// The overlay replaces the contract's oneOf by one flat form, which must keep
// up with it.
func TestStatelessFormHasTheContractsFields(t *testing.T) {
	doc, err := util.LoadSwagger("../api/channel-access-token.yml")
	if err != nil {
		t.Fatal(err)
	}
	media := doc.Paths.Find("/oauth2/v3/token").Post.RequestBody.Value.Content["application/x-www-form-urlencoded"]
	var want []string
	for _, one := range media.Schema.Value.OneOf {
		for name := range one.Value.Properties {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	want = slices.Compact(want)

	var got []string
	for field := range reflect.TypeFor[gen.IssueStatelessChannelTokenFormdataRequestBody]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("form"), ",")
		got = append(got, name)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-contract +generated):\n%s", diff)
	}
}

// The contract declares an error answer for one operation and in one shape.
func TestEveryOperationReadsBothErrorShapes(t *testing.T) {
	operations := make(map[reflect.Type]bool) // by what their responses are read into
	for method := range reflect.TypeFor[*gen.ClientWithResponses]().Methods() {
		if !strings.HasSuffix(method.Name, "WithResponse") {
			continue
		}
		operations[method.Type.Out(0)] = true
		t.Run(method.Name, func(t *testing.T) {
			got, err := refused(t, method, 500, "application/json", `{"error":"e","error_description":"d"}`)
			if err != nil || got == nil || got.Error != "e" || got.ErrorDescription != "d" {
				t.Errorf("OAuth shape: %+v, %v", got, err)
			}
			// Whatever the document says of 400 for one operation.
			got, err = refused(t, method, 400, "application/json;charset=UTF-8", `{"error":"e"}`)
			if err != nil || got == nil || got.Error != "e" {
				t.Errorf("a status that the document may have: %+v, %v", got, err)
			}
			got, err = refused(t, method, 404, "application/json", `{"message":"m","details":[{"message":"dm","property":"dp"}]}`)
			if err != nil || got == nil || got.Message != "m" || len(got.Details) != 1 || got.Details[0].Property != "dp" {
				t.Errorf("Messaging API shape: %+v, %v", got, err)
			}
		})
	}
	if len(operations) != len(lineoauth.Operations()) {
		t.Errorf("%d operations were asked, not %d", len(operations), len(lineoauth.Operations()))
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(req *http.Request) (*http.Response, error) { return d(req) }

// refused calls a method of a client, with nothing in particular, and returns the error
// that the answer is read as.
func refused(t *testing.T, method reflect.Method, status int, contentType, body string) (*gen.ErrorResponse, error) {
	t.Helper()
	client, err := gen.NewClientWithResponses(gen.DefaultServerURL, gen.WithHTTPClient(doer(func(*http.Request) (*http.Response, error) {
		return response(status, contentType, body), nil
	})))
	if err != nil {
		t.Fatal(err)
	}
	args := []reflect.Value{reflect.ValueOf(client), reflect.ValueOf(t.Context())}
	for i := len(args); i < method.Type.NumIn()-1; i++ { // the last are the editors
		switch in := method.Type.In(i); in.Kind() {
		case reflect.Interface:
			args = append(args, reflect.ValueOf(http.NoBody))
		case reflect.Pointer:
			args = append(args, reflect.New(in.Elem()))
		case reflect.String:
			args = append(args, reflect.ValueOf("x").Convert(in))
		default:
			args = append(args, reflect.Zero(in))
		}
	}
	out := method.Func.Call(args)
	if err, _ := out[1].Interface().(error); err != nil {
		return nil, err
	}
	return out[0].Interface().(interface{ GetJSONDefault() *gen.ErrorResponse }).GetJSONDefault(), nil
}

// read has a parser read a response.
func read[R any](parse func(*http.Response) (R, error), status int, contentType, body string) (R, error) {
	rsp := response(status, contentType, body)
	defer func() { _ = rsp.Body.Close() }()
	return parse(rsp)
}

func response(status int, contentType, body string) *http.Response {
	return &http.Response{
		StatusCode: status,
		Header:     http.Header{"Content-Type": {contentType}},
		Body:       io.NopCloser(strings.NewReader(body)),
	}
}

// A success without content is none.
func TestSuccessHasContent(t *testing.T) {
	for body, clientID := range map[string]string{"null": "", " null\n": "", `{"client_id":"1","expires_in":2}`: "1"} {
		got, err := read(gen.ParseVerifyChannelTokenResponse, 200, "application/json;charset=UTF-8", body)
		if err != nil {
			t.Fatal(err)
		}
		if got.JSONDefault != nil || (got.JSON200 == nil) != (clientID == "") || got.JSON200 != nil && got.JSON200.ClientID != clientID {
			t.Errorf("%s: %+v", body, got)
		}
		if string(got.Body) != body || got.StatusCode() != 200 || got.ContentType() != "application/json;charset=UTF-8" {
			t.Errorf("%+v", got)
		}
	}
	got, err := read(gen.ParseRevokeChannelTokenResponse, 200, "application/json", "{}")
	if err != nil || got.JSONDefault != nil {
		t.Errorf("a success is read as an error: %+v, %v", got, err)
	}
	for contentType, fails := range map[string]bool{"application/json": true, "text/html": false, "": false} {
		if _, err := read(gen.ParseVerifyChannelTokenResponse, 200, contentType, "<html>"); (err != nil) != fails {
			t.Errorf("%q: %v", contentType, err)
		}
	}
}

func TestNewClientRefuses(t *testing.T) {
	for _, server := range []string{"", "::bad", "api.line.me", "/oauth2", "https://", "https://:443", "https://a b"} {
		if _, err := gen.NewClient(server); err == nil {
			t.Errorf("%q is a server", server)
		}
		if _, err := gen.NewClientWithResponses(gen.DefaultServerURL, gen.WithBaseURL(server)); err == nil {
			t.Errorf("%q is a base URL", server)
		}
	}
	for _, server := range []string{gen.DefaultServerURL, "http://localhost:1", "https://proxy.example/line/"} {
		if c, err := gen.NewClient(server); err != nil || !strings.HasSuffix(c.Server, "/") {
			t.Errorf("%q: %+v, %v", server, c, err)
		}
	}
}

// Editors change a request in their order, and an error of one ends it.
func TestRequestEditors(t *testing.T) {
	var order []string
	edit := func(name string, err error) gen.RequestEditorFn {
		return func(context.Context, *http.Request) error {
			order = append(order, name)
			return err
		}
	}
	client, err := gen.NewClient("https://line.example", gen.WithRequestEditorFn(edit("client", nil)))
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	rsp, err := client.RevokeChannelTokenWithFormdataBody(t.Context(), gen.RevokeChannelTokenFormdataRequestBody{}, edit("call", stop))
	if err == nil {
		_ = rsp.Body.Close()
	}
	if !errors.Is(err, stop) || !slices.Equal(order, []string{"client", "call"}) {
		t.Errorf("%v, %v", order, err)
	}
}

func TestNamesHaveInitialisms(t *testing.T) {
	bad := regexp.MustCompile(`(Ids?|Url|Jwt|Http)([A-Z]|$)`)
	for _, typ := range []reflect.Type{
		reflect.TypeFor[gen.ClientInterface](), reflect.TypeFor[gen.ClientWithResponsesInterface](),
	} {
		for method := range typ.Methods() {
			if bad.MatchString(method.Name) {
				t.Errorf("%s.%s", typ, method.Name)
			}
		}
	}
	for _, typ := range []reflect.Type{
		reflect.TypeOf(gen.IssueChannelTokenByJWTResponse{}.JSON200).Elem(),
		reflect.TypeOf(gen.VerifyChannelTokenResponse{}.JSON200).Elem(),
		reflect.TypeFor[gen.IssueChannelTokenFormdataRequestBody](),
		reflect.TypeFor[gen.RevokeChannelTokenByJWTFormdataRequestBody](),
		reflect.TypeFor[gen.IssueStatelessChannelTokenFormdataRequestBody](),
	} {
		for field := range typ.Fields() {
			if bad.MatchString(field.Name) {
				t.Errorf("%s.%s", typ, field.Name)
			}
		}
	}
}
