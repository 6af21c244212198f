package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"
)

// maxDocument is far above what LINE's document has, which is 20 kB.
const maxDocument = 10 << 20

// fetch reads a file, or what is at a URL.
func fetch(ctx context.Context, from string) ([]byte, error) {
	if !strings.HasPrefix(from, "https://") && !strings.HasPrefix(from, "http://") {
		return readFile(from)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer rsp.Body.Close()
	if rsp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", from, rsp.Status)
	}
	return readLimited(rsp.Body, from)
}

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	return readLimited(file, name)
}

func readLimited(r io.Reader, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err == nil && len(text) > maxDocument {
		err = fmt.Errorf("%s has more than %d bytes, so it is not the OpenAPI document", name, maxDocument)
	}
	return text, err
}

// parse reads an OpenAPI document, and refuses anything else. Name is for errors.
func parse(ctx context.Context, name string, text []byte) (*openapi3.T, error) {
	err := recognize(text)
	var doc *openapi3.T
	if err == nil {
		doc, err = openapi3.NewLoader().LoadFromData(text) // follows no reference out of the document
	}
	if err == nil {
		err = doc.Validate(ctx, openapi3.DisableExamplesValidation(), openapi3.DisableSchemaDefaultsValidation())
	}
	if err == nil && doc.Paths.Len() == 0 {
		err = errors.New("it has no paths")
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not a valid OpenAPI document: %w", name, err)
	}
	return doc, nil
}

// supported are the versions that both oasdiff and the generator read.
var supported = regexp.MustCompile(`^3\.[01]\.\d+$`)

// recognize returns an error that describes a text that is not one OpenAPI document.
func recognize(text []byte) error {
	start := strings.TrimSpace(string(text[:min(len(text), 200)]))
	line, _, _ := strings.Cut(start, "\n")
	line = string([]rune(line)[:min(len([]rune(line)), 60)])
	switch {
	case start == "":
		return errors.New("it is empty")
	case !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0:
		return errors.New("it is not UTF-8 text")
	case strings.HasPrefix(start, "<"):
		return errors.New("it is a web page (HTML or XML); of a file on GitHub, use the raw URL, https://raw.githubusercontent.com/…")
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var root, next yaml.Node
	if err := decoder.Decode(&root); errors.Is(err, io.EOF) {
		return errors.New("it is empty but for comments")
	} else if err != nil {
		return fmt.Errorf("it is not YAML or JSON: %w", err)
	}
	var fields map[string]yaml.Node
	if err := root.Decode(&fields); err != nil || root.Content[0].Kind != yaml.MappingNode {
		if typed := new(yaml.TypeError); errors.As(err, &typed) && root.Content[0].Kind == yaml.MappingNode {
			return err
		}
		return fmt.Errorf("it is a text that begins with %q; use the URL or file of the document itself", line)
	}
	version, ok := fields["openapi"]
	switch _, swagger := fields["swagger"]; {
	case swagger:
		return errors.New("it is Swagger 2.0; convert it to OpenAPI 3")
	case !ok:
		return fmt.Errorf("it has no field openapi, and begins with %q; use the URL or file of the document itself", line)
	case !supported.MatchString(version.Value):
		return fmt.Errorf("it is OpenAPI %s; the tools here read 3.0 and 3.1", version.Value)
	}
	for {
		err := decoder.Decode(&next)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is not YAML or JSON: %w", err)
		}
		if next.Content != nil && next.Content[0].Tag != "!!null" {
			return errors.New("it has more than one YAML document; remove the others, which nothing would read")
		}
	}
}
