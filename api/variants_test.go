package api_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oapi-codegen/oapi-codegen/v2/pkg/util"

	"github.com/lineoauth/lineoauth/internal/testproc"
)

// all is what make test-contract sets.
var all = flag.Bool("all", false, "run all that make test-contract does")

// takesLong skips a test that is not among those of make test.
func takesLong(t *testing.T) {
	t.Helper()
	if !*all {
		t.Skip("make test-contract runs it")
	}
}

// nested is set for the commands that these tests run, so that a make test among
// them does not run these tests once more.
const nested = "LINEOAUTH_NESTED_TEST"

// skipCopies skips a test that copies the repository where that would test nothing.
func skipCopies(t *testing.T) {
	t.Helper()
	if testing.Short() || os.Getenv(nested) != "" {
		t.Skip("a copy of the repository is not copied again")
	}
}

// checkout copies what git knows of this repository into a new folder.
func checkout(t *testing.T) string {
	t.Helper()
	skipCopies(t)
	dir := t.TempDir()
	copyTree(t, dir)
	return dir
}

func copyTree(t *testing.T, dir string) {
	t.Helper()
	files, err := testproc.Command(t, "git", "-C", "..", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatalf("this test needs a git checkout: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(files), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join("..", name))
		if os.IsNotExist(err) {
			continue // removed, but not yet from the index
		}
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever LINE may do to its document without breaking callers, the code is
// generated from it, compiles and works. The document is changed in memory and
// written as JSON, which is YAML, too; so its order is never that of our file.
func TestVariantsOfTheContract(t *testing.T) {
	const (
		cosmetic   = "other tags, no descriptions, no examples, OpenAPI 3.1"
		inline     = "inline schemas"
		components = "everything in components, a new field, a new operation"
	)
	for _, name := range []string{components, cosmetic, inline} {
		t.Run(name, func(t *testing.T) {
			packages, vetted := "./api ./gen ./lineoauthtest", "."
			if *all {
				packages, vetted = packages+" .", "./..."
			}
			if name != components {
				takesLong(t)
			}
			t.Parallel()
			dir := checkout(t)
			doc, err := util.LoadSwagger(contract)
			if err != nil {
				t.Fatal(err)
			}
			switch name {
			case cosmetic:
				doc.OpenAPI = "3.1.0"
				doc.Info.Description = ""
				doc.Tags, doc.ExternalDocs = nil, nil
				for _, item := range doc.Paths.Map() {
					for _, op := range item.Operations() {
						op.Tags, op.Summary, op.Description, op.ExternalDocs = []string{"OAuth"}, "", "", nil
						for _, p := range op.Parameters {
							p.Value.Description = ""
						}
						if media := op.Responses.Status(200).Value.Content["application/json"]; media != nil {
							media.Example = nil
						}
					}
				}
				for _, schema := range doc.Components.Schemas {
					schema.Value.Description = ""
				}
			case inline:
				for _, item := range doc.Paths.Map() {
					for _, op := range item.Operations() {
						for _, rsp := range op.Responses.Map() {
							for _, media := range rsp.Value.Content {
								media.Schema.Ref = ""
							}
						}
						if op.RequestBody != nil {
							for _, one := range op.RequestBody.Value.Content[form].Schema.Value.OneOf {
								one.Ref = ""
							}
						}
					}
				}
				doc.Components = nil
			case components:
				for _, item := range doc.Paths.Map() {
					for _, op := range item.Operations() {
						if op.RequestBody == nil {
							continue
						}
						media := op.RequestBody.Value.Content[form]
						schema := *media.Schema
						doc.Components.Schemas[op.OperationID+"Form"] = &schema
						media.Schema.Ref = "#/components/schemas/" + op.OperationID + "Form"
					}
				}
				for name, schema := range doc.Components.Schemas {
					if strings.HasSuffix(name, "TokenResponse") {
						schema.Value.Properties["issued_by"] = doc.Components.Schemas["ErrorResponse"].Value.Properties["error"]
					}
				}
				item := *doc.Paths.Find("/v2/oauth/verify")
				op := *item.Post
				op.OperationID, item.Post = "explainChannelToken", &op
				doc.Paths.Set("/v2/oauth/explain", &item)
			}
			text, err := doc.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "api", contract), text, 0o644); err != nil {
				t.Fatal(err)
			}
			for _, command := range []string{"go generate ./...", "go vet " + vetted, "go test -short -vet=off -skip=^(TestFleet|TestStore) " + packages} {
				if a := (clone{dir: dir}).run(t, strings.Fields(command)...); a.code != 0 {
					t.Fatalf("%s:\n%s", command, a)
				}
			}
		})
	}
}
