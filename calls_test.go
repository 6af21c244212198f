package lineoauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/oapi-codegen/oapi-codegen/v2/pkg/util"

	"github.com/lineoauth/lineoauth"
)

// operationCall is a way to have a client call an operation.
type operationCall struct {
	name        string
	op          lineoauth.Operation
	byAssertion bool           // else by the channel secret, or by nothing
	token       lineoauth.Kind // of the token that it is about, if there is one
	call        func(ctx context.Context, c *lineoauth.Client, token string) (any, error)
}

// calls are those of all operations that Client has a method for. Every test of all
// operations takes them from here, and what the OpenAPI document says of them.
var calls = []operationCall{
	{"stateless", lineoauth.OpIssueStatelessChannelToken, false, "", plain((*lineoauth.Client).IssueStatelessChannelToken)},
	{"stateless-by-assertion", lineoauth.OpIssueStatelessChannelToken, true, "", plain((*lineoauth.Client).IssueStatelessChannelToken)},
	{"key-ids", lineoauth.OpGetsAllValidChannelAccessTokenKeyIds, true, "", plain((*lineoauth.Client).ValidChannelAccessTokenKeyIDs)},
	{"v2.1", lineoauth.OpIssueChannelTokenByJWT, true, "", plain(func(c *lineoauth.Client, ctx context.Context) (*lineoauth.Token, error) {
		return c.IssueChannelToken(ctx, 0)
	})},
	{"v2.1-verify", lineoauth.OpVerifyChannelTokenByJWT, false, lineoauth.V21, of((*lineoauth.Client).VerifyChannelToken)},
	{"v2.1-revoke", lineoauth.OpRevokeChannelTokenByJWT, false, lineoauth.V21, of(revokeToken)},
	{"short-lived", lineoauth.OpIssueChannelToken, false, "", plain((*lineoauth.Client).IssueShortLivedChannelToken)},
	{"v2-verify", lineoauth.OpVerifyChannelToken, false, lineoauth.ShortLived, of((*lineoauth.Client).VerifyChannelToken)},
	{"v2-revoke", lineoauth.OpRevokeChannelToken, false, lineoauth.ShortLived, of(revokeToken)},
}

func revokeToken(c *lineoauth.Client, ctx context.Context, token string) (any, error) {
	return nil, c.RevokeChannelToken(ctx, token)
}

// plain is a method that takes nothing.
func plain[R any](method func(*lineoauth.Client, context.Context) (R, error)) func(context.Context, *lineoauth.Client, string) (any, error) {
	return of(func(c *lineoauth.Client, ctx context.Context, _ string) (R, error) { return method(c, ctx) })
}

// of is a method that takes a token. A nil of any type is no result.
func of[R any](method func(*lineoauth.Client, context.Context, string) (R, error)) func(context.Context, *lineoauth.Client, string) (any, error) {
	return func(ctx context.Context, c *lineoauth.Client, token string) (any, error) {
		result, err := method(c, ctx, token)
		if reflect.ValueOf(&result).Elem().IsZero() {
			return nil, err
		}
		return result, err
	}
}

// with has c make the call, by an assertion if it is one by assertion.
func (o operationCall) with(ctx context.Context, c *lineoauth.Client, assertion, token string) (any, error) {
	if o.byAssertion {
		c = c.WithAssertion(assertion)
	}
	return o.call(ctx, c, token)
}

// text is in the form of the token that the call is about.
func (o operationCall) text() string {
	if o.token == lineoauth.V21 {
		return jws
	}
	return opaque
}

// called are the operations that Client has a method for.
func called() (ops []lineoauth.Operation) {
	for _, o := range calls {
		if !slices.Contains(ops, o.op) {
			ops = append(ops, o.op)
		}
	}
	return ops
}

func namesOf(is func(operationCall) bool) (names []string) {
	for _, o := range calls {
		if is(o) {
			names = append(names, o.name)
		}
	}
	return names
}

// documented is what the OpenAPI document says of an operation.
type documented struct {
	method, path string
	query        []string          // required parameters
	forms        []formFields      // any of which is the body
	answer       map[string]string // types of the fields, by their names; nil if it has no body
}

type formFields struct{ required, all []string }

func document(t *testing.T) map[lineoauth.Operation]documented {
	t.Helper()
	doc, err := util.LoadSwagger(filepath.Join("api", "channel-access-token.yml"))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[lineoauth.Operation]documented)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			d := documented{method: method, path: path}
			for _, p := range slices.Concat(item.Parameters, op.Parameters) {
				if p.Value.In == "query" && p.Value.Required {
					d.query = append(d.query, p.Value.Name)
				}
			}
			if op.RequestBody != nil {
				schema := op.RequestBody.Value.Content[form].Schema
				either := schema.Value.OneOf
				if either == nil {
					either = append(either, schema)
				}
				for _, one := range either {
					d.forms = append(d.forms, formFields{one.Value.Required, slices.Collect(maps.Keys(one.Value.Properties))})
				}
			}
			if media := op.Responses.Status(http.StatusOK).Value.Content["application/json"]; media != nil {
				d.answer = make(map[string]string)
				for name, field := range media.Schema.Value.Properties {
					d.answer[name] = strings.Join(field.Value.Type.Slice(), " ")
				}
			}
			all[lineoauth.Operation(op.OperationID)] = d
		}
	}
	return all
}

// fields are the names of all required fields, in any form.
func (d documented) fields() []string {
	names := slices.Clone(d.query)
	for _, one := range d.forms {
		names = append(names, one.required...)
	}
	return names
}

// example is an answer in the form that the document asks for.
func (d documented) example() string {
	values := map[string]any{"integer": 60, "number": 60, "boolean": true, "array": []any{}, "object": map[string]any{}}
	fields := make(map[string]any)
	for name, kind := range d.answer {
		fields[name] = values[kind]
		if kind == "string" {
			fields[name] = "t"
		}
	}
	if d.answer["token_type"] != "" {
		fields["token_type"] = "Bearer"
	}
	text, _ := json.Marshal(fields)
	return string(text)
}

// check compares a request with what the document says of it.
func (d documented) check(t *testing.T, r *http.Request, values url.Values) {
	t.Helper()
	if r.Method != d.method || r.URL.EscapedPath() != d.path {
		t.Errorf("%s %s, not %s %s", r.Method, r.URL.EscapedPath(), d.method, d.path)
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	body, bodyErr := io.ReadAll(r.Body)
	sent, formErr := url.ParseQuery(string(body))
	if err := errors.Join(err, bodyErr, formErr); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(d.query)), slices.Sorted(maps.Keys(query)), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
	contentType, fits := "", d.forms == nil && len(body) == 0
	for _, one := range d.forms {
		missing := slices.ContainsFunc(one.required, func(name string) bool { return !sent.Has(name) })
		unknown := slices.ContainsFunc(slices.Collect(maps.Keys(sent)), func(name string) bool { return !slices.Contains(one.all, name) })
		contentType, fits = form, fits || !missing && !unknown
	}
	if !fits || r.Header.Get("Content-Type") != contentType {
		t.Errorf("a body of the type %q that is no form of the document's: %s", r.Header.Get("Content-Type"), body)
	}
	maps.Copy(sent, query)
	for name, got := range sent {
		if want, known := values[name]; known && !slices.Equal(got, want) || len(got) != 1 || got[0] == "" {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
}

// Each operation for which Client has a method has a call in the tests.
func TestEveryCallHasARow(t *testing.T) {
	generated, err := os.ReadFile("operation.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source []byte
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, ".gen.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, text...)
	}
	constants := regexp.MustCompile(`(?m)^\t(Op\w+) +Operation = "(\w+)"$`).FindAllSubmatch(generated, -1)
	if len(constants) != len(lineoauth.Operations()) {
		t.Errorf("operation.gen.go has %d constants of %d operations", len(constants), len(lineoauth.Operations()))
	}
	for _, constant := range constants {
		name, op := string(constant[1]), lineoauth.Operation(constant[2])
		if used := regexp.MustCompile(`\b` + name + `\b`).Match(source); used != slices.Contains(called(), op) {
			t.Errorf("package lineoauth uses %s: %v; calls, in calls_test.go, has a row for it: %v", name, used, !used)
		}
	}
}
