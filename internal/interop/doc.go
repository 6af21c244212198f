// Package interop tests the emulator with independent clients: LINE's SDKs for Go
// and, in the folder node, for JavaScript. It is a separate module, to keep their
// dependencies out of the others.
package interop
