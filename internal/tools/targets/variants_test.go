package targets_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oapi-codegen/oapi-codegen/v2/pkg/util"
)

// Whatever LINE may do to its document without breaking callers, the code is
// generated from it, compiles and works. The document is changed in memory and
// written as JSON, which is YAML, too; so its order is never that of our file.
func TestVariantsOfTheContract(t *testing.T) {
	takesLong(t)
	const (
		cosmetic   = "other tags, no descriptions, no examples, OpenAPI 3.1"
		inline     = "inline schemas"
		components = "everything in components, a new field, a new operation"
	)
	for _, name := range []string{components, cosmetic, inline} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := checkout(t)
			doc, err := util.LoadSwagger(filepath.Join(root, document))
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
			if err := os.WriteFile(filepath.Join(dir, document), text, 0o644); err != nil {
				t.Fatal(err)
			}
			for _, command := range []string{"go generate ./...", "go vet ./...", "go test -short -vet=off -skip=^(TestFleet|TestStore) ./api ./gen ./lineoauthtest ."} {
				if a := (clone{dir: dir}).run(t, strings.Fields(command)...); a.code != 0 {
					t.Fatalf("%s:\n%s", command, a)
				}
			}
		})
	}
}
