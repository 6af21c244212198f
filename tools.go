//go:build tools

package lineoauth

import _ "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen"
