//go:build ignore

// The generator is pinned by go.mod's tool directive. This file names it where
// people look for it, behind a tag that no go command satisfies: a consumer's
// "go mod tidy" would follow any other, and write the generator's dependencies
// into the consumer's go.mod.
package tools

import _ "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen"
