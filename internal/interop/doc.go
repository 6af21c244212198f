// Package interop tests the emulator with independent clients: LINE's SDKs for Go
// and, in the folder node, for JavaScript; and the reading of NO_PROXY with
// golang.org/x/net. It is a separate module, to keep their dependencies out of the others.
package interop
