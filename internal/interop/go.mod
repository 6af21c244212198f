module github.com/lineoauth/lineoauth/internal/interop

go 1.26.0

require (
	github.com/davecgh/go-spew v1.1.0
	github.com/go-jose/go-jose/v4 v4.1.9
	github.com/kr/pretty v0.3.1
	github.com/line/line-bot-sdk-go/v8 v8.22.0
	github.com/lineoauth/lineoauth v0.0.0
	github.com/stretchr/testify v1.12.1
	golang.org/x/net v0.61.0
)

require (
	github.com/apapsch/go-jsonmerge/v2 v2.0.0 // indirect
	github.com/cenkalti/backoff/v5 v5.0.3 // indirect
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/kr/text v0.2.0 // indirect
	github.com/oapi-codegen/runtime v1.9.0 // indirect
	github.com/rogpeppe/go-internal v1.16.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sync v0.25.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/lineoauth/lineoauth => ../..
