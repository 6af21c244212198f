// Package proxy implements a reverse proxy for LINE's Messaging API, for bots in any
// language: it sets a valid channel access token on every request, in place of any
// other.
//
// It serves programs on the same machine, and clients that use an allowed host
// name. It refuses requests that a web page can make: those with an Origin, and those
// for any other Host, since a page's own host name may resolve to the proxy.
package proxy
