// Package gen is the client that oapi-codegen makes from
// api/channel-access-token.yml: a method, a request type and a response type
// for each endpoint of LINE's channel access token API, and nothing beyond.
//
// It can be used by itself. Whoever does sees to what package lineoauth
// otherwise does: [http.Client] follows redirects and thereby carries secrets
// to other hosts, its errors print URLs that hold tokens and assertions, bodies
// are read without a bound, and a 200 answer that is not JSON leaves JSON200
// nil without an error.
//
// https://developers.line.biz/en/reference/messaging-api/#channel-access-token
package gen
