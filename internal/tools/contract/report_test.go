package main

import (
	"strings"
	"testing"

	"golang.org/x/exp/apidiff"
)

func TestAllowed(t *testing.T) {
	wire := change{where: "GET /kid", what: "removed the required property `kids` from the response with the `200` status", wire: true}
	golang := change{where: "POST /verify", what: "removed the optional property `scope`", golang: []apidiff.Change{{Message: "VerifyResponse.Scope: removed"}}}
	added := change{where: "GET /kid", what: "added the optional property `total`", golang: []apidiff.Change{{Message: "KeyIDs.Total: added", Compatible: true}}}
	changes := []change{wire, golang, added}
	const why = " # nobody uses it yet\n"
	for name, test := range map[string]struct {
		text    string
		allowed int
		fault   string
	}{
		"nothing":           {"", 0, ""},
		"a comment":         {"# a comment\n\n# " + wire.String() + why, 0, ""},
		"the wire":          {wire.String() + why, 1, ""},
		"Go":                {golang.String() + why, 1, ""},
		"both":              {wire.String() + why + golang.String() + why, 2, ""},
		"what breaks none":  {added.String() + why, 0, ""},
		"a part":            {strings.TrimSuffix(wire.String(), " status") + why, 0, ""},
		"more":              {wire.String() + " too" + why, 0, ""},
		"in the reason":     {"GET /nowhere endpoint removed # for " + wire.String() + "\n", 0, ""},
		"no reason":         {"# one\n" + wire.String() + "\n", 0, "api/breaking.txt:2 gives no reason"},
		"WHY":               {wire.String() + " # WHY\n", 0, "api/breaking.txt:1 gives no reason"},
		"numbers as reason": {wire.String() + " # 1 2 3\n", 0, "gives no reason"},
	} {
		t.Run(name, func(t *testing.T) {
			r := repository(t.TempDir())
			r.write(t, allowlist, test.text)
			allowed, err := r.allowed(changes)
			if test.fault != "" {
				if err == nil || !strings.Contains(err.Error(), test.fault) {
					t.Errorf("%v; want %q", err, test.fault)
				}
				return
			}
			if err != nil || len(allowed) != test.allowed {
				t.Errorf("%v, %v; want %d", allowed, err, test.allowed)
			}
		})
	}
	var out strings.Builder
	if err := report(&out, changes, map[string]bool{wire.String(): true}, "git diff"); err == nil {
		t.Error("what is allowed is one change, not all")
	}
	for _, want := range []string{
		"- **breaks callers on the wire, as api/breaking.txt allows:** removed the required property `kids`",
		"- **breaks Go programs:** removed the optional property `scope`\n  - Go: VerifyResponse.Scope: removed\n",
		"- added the optional property `total`\n  - Go: KeyIDs.Total: added\n",
		"\nVerdict: breaks Go programs, but for what api/breaking.txt allows.\n",
		"\n       POST /verify removed the optional property `scope` # WHY\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}

func TestProposeEntry(t *testing.T) {
	var out strings.Builder
	proposeEntry(&out, []change{
		{where: "GET /kid", what: "added the optional property `total`"},
		{where: "GET /kid", what: "removed the required property `kids`", wire: true},
		{where: "POST /verify", what: "endpoint added"},
		{where: "POST /verify", what: "the first server is now another", wire: true},
	})
	const want = `
## For CHANGELOG.md, under Unreleased

    ### Added

    - GET /kid: added the optional property ` + "`total`" + `.
    - POST /verify: endpoint added.

    ### Changed

    - POST /verify: the first server is now another. This breaks callers on the wire.

    ### Removed

    - GET /kid: removed the required property ` + "`kids`" + `. This breaks callers on the wire.
`
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", out.String(), want)
	}
}
