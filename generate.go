package lineoauth

//go:generate go tool oapi-codegen -config api/client.yml api/channel-access-token.yml
//go:generate go tool oapi-codegen -config api/server.yml api/channel-access-token.yml
//go:generate go tool oapi-codegen -config api/operations.yml api/channel-access-token.yml
