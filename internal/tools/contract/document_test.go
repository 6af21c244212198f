package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is not the document is called by its name.
func TestParseRefuses(t *testing.T) {
	base := string(read(t, "testdata/base.yml"))
	for name, test := range map[string]struct{ text, want string }{
		"nothing":              {"", "it is empty"},
		"space":                {" \n\n", "it is empty"},
		"a comment":            {"# nothing here\n", "it is empty but for comments"},
		"a page":               {"<!DOCTYPE html>\n<html></html>", "it is a web page"},
		"a page behind space":  {"\n  <html>", "raw.githubusercontent.com"},
		"not found":            {"404: Not Found", `it has no field openapi, and begins with "404: Not Found"`},
		"words":                {"Not Found", `it is a text that begins with "Not Found"`},
		"a list":               {"- a\n- b\n", "it is a text that begins with"},
		"an answer of an API":  {`{"message": "Not Found"}`, "it has no field openapi"},
		"a config":             {"version: \"2\"\nlinters: {}\n", "it has no field openapi"},
		"a program":            {"\x7fELF\x00\x00", "it is not UTF-8 text"},
		"Latin-1":              {strings.Replace(base, "title: Channel", "title: \xfc Channel", 1), "it is not UTF-8 text"},
		"no YAML":              {"openapi: [3.0.3\n", "it is not YAML or JSON"},
		"Swagger":              {"swagger: \"2.0\"\n", "it is Swagger 2.0"},
		"OpenAPI 4":            {strings.Replace(base, "3.0.3", "4.0.0", 1), "it is OpenAPI 4.0.0; the tools here read 3.0 and 3.1"},
		"OpenAPI 2":            {strings.Replace(base, "3.0.3", "2.0.0", 1), "it is OpenAPI 2.0.0"},
		"OpenAPI as a number":  {strings.Replace(base, "3.0.3", "3.0", 1), "it is OpenAPI 3.0;"},
		"no version":           {strings.Replace(base, "openapi: 3.0.3", "openapi:", 1), "it is OpenAPI ;"},
		"two documents":        {base + "---\n" + base, "it has more than one YAML document"},
		"another document":     {base + "---\nopenapi: 3.0.3\n", "it has more than one YAML document"},
		"a field twice":        {strings.Replace(base, "paths:\n", "paths: {}\npaths:\n", 1), "already defined"},
		"no paths":             {"openapi: 3.0.3\ninfo: {title: x, version: '1'}\npaths: {}\n", "it has no paths"},
		"another type":         {strings.Replace(base, "type: string", "type: strong", 1), "strong"},
		"a reference to a URL": {strings.Replace(base, "'#/components/schemas/ErrorResponse'", "'https://evil.example/x.yml'", 1), "external ref"},
		"a reference to a file": {
			strings.Replace(base, "'#/components/schemas/ErrorResponse'", "'/etc/passwd'", 1), "external ref"},
		"a reference to nothing": {strings.Replace(base, "'#/components/schemas/ErrorResponse'", "'#/components/schemas/Nothing'", 1), "Nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(t.Context(), "it.yml", []byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "it.yml is not a valid OpenAPI document: ") {
				t.Errorf("%v; want %q", err, test.want)
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
	for name, text := range map[string]string{
		"ours": base, "3.1": strings.Replace(base, "3.0.3", "3.1.0", 1),
		"with marks": "---\n" + base + "...\n", "with an empty end": base + "---\n", "with a comment behind": base + "---\n# the end\n",
	} {
		if _, err := parse(t.Context(), "it.yml", []byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFetch(t *testing.T) {
	large := filepath.Join(t.TempDir(), "large.yml")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, maxDocument+1); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/it.yml":
			_, _ = w.Write([]byte("it"))
		case "/large.yml":
			http.ServeFile(w, r, large)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	for from, want := range map[string]string{
		large:                      "has more than 10485760 bytes",
		server.URL + "/large.yml":  "has more than 10485760 bytes",
		server.URL + "/nosuch.yml": "answers 404",
		"nosuch.yml":               "no such file",
		t.TempDir():                "is not a regular file",
		os.DevNull:                 "is not a regular file",
	} {
		if _, err := fetch(t.Context(), from); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", from, err, want)
		}
	}
	if text, err := fetch(t.Context(), server.URL+"/it.yml"); err != nil || string(text) != "it" {
		t.Errorf("%q, %v", text, err)
	}
}
