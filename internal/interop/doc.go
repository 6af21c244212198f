// Package interop holds the emulator against clients that know nothing of
// it: LINE's own SDKs for Go and, in the folder node, for JavaScript. It is a
// module of its own, so that nobody else compiles them.
package interop
