// Package proxy is a reverse proxy in front of LINE's Messaging API, for bots in
// any language: it puts a valid channel access token on every request, whatever
// token that came with.
//
// It serves programs of the same machine, or those that reach it under a name that
// its owner allowed. It refuses requests that a web page can make: those with an
// Origin, and those for any other Host, to which a page's own name may resolve.
package proxy
