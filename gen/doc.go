// Package gen is the client that oapi-codegen makes from
// api/channel-access-token.yml: a method, a request type and a response type
// for each endpoint of LINE's channel access token API, and nothing beyond.
//
// What a document may add, a minor version may: fields, operations, and methods of
// [ClientInterface] and [ClientWithResponsesInterface], which grow with each operation
// and are not meant to be implemented elsewhere. Errors of every operation are in the
// field JSONDefault, whatever statuses the document lists for it.
//
// It can be used without package lineoauth. You then have to handle what package
// lineoauth otherwise does: [http.Client] follows redirects and thereby carries secrets
// to other hosts, its errors print URLs that hold tokens and assertions, bodies are
// read without a bound, and a 200 answer that is not JSON, or is the JSON null, leaves
// JSON200 nil without an error.
//
// https://developers.line.biz/en/reference/messaging-api/#channel-access-token
package gen
