package targets_test

import (
	"regexp"
	"testing"
)

// Which changes break whom, internal/tools/contract tests. This is of the command.
func TestSpecDiff(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	const (
		safe = "\nVerdict: breaks neither callers on the wire nor Go programs.\n"
		both = "- **breaks callers on the wire and Go programs:** "
	)
	t.Run("nothing", func(t *testing.T) {
		a := c.contract(t, "spec-diff", "HEAD")
		says(t, a, 0, "# Changes of the OpenAPI document since HEAD\n\nNothing changed that a caller could notice.\n"+safe)
		says(t, c.contract(t, "spec-diff", document), 0, safe)
		c.edit(t, cosmetic)
		says(t, c.contract(t, "spec-diff", "HEAD"), 0, "Nothing changed", safe)
		c.reset(t)
	})
	t.Run("broken", func(t *testing.T) {
		c.edit(t, renameField)
		a := c.contract(t, "spec-diff", "HEAD")
		says(t, a, 1, both+"removed the required property `kids`", "  - Go: ChannelAccessTokenKeyIDsResponse.Kids: removed",
			"- added the required property `key_ids`", "  - Go: ChannelAccessTokenKeyIDsResponse.KeyIDs: added", "    ### Added\n",
			"Verdict: breaks callers on the wire and Go programs.", "`git diff HEAD... -- api`", "    ### Removed\n")
		c.write(t, "api/breaking.txt", regexp.MustCompile(`(?m)^ +(\S.*) # WHY$`).FindStringSubmatch(a.stdout)[1]+" # nobody uses it yet\n")
		says(t, c.contract(t, "spec-diff", "HEAD"), 0, "- **breaks callers on the wire and Go programs, as api/breaking.txt allows:** removed", "nor Go programs, but for what api/breaking.txt allows.")
		c.reset(t)
	})
	t.Run("nothing to compare", func(t *testing.T) {
		says(t, c.contract(t, "spec-diff"), 2, "make spec-diff BASE=")
		says(t, c.contract(t, "spec-diff", ""), 2, "make spec-diff BASE=")
		says(t, c.contract(t, "nosuch", "x"), 2, "spec-diff, spec-update")
		says(t, c.withTools(t).run(t, "make", "spec-diff", "BASE=nosuch"), 2, "nosuch is neither a file nor a git revision", "Error 2")
		says(t, c.contract(t, "spec-diff", ".golangci.yml"), 2, ".golangci.yml is not a valid OpenAPI document")
		c.edit(t, func(object map[string]any) { replaceValue(object, "type", "strong") })
		says(t, c.contract(t, "spec-diff", "HEAD"), 2, document+" is not a valid OpenAPI document")
		c.reset(t)
	})
}
