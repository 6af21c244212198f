// Package fleet has nothing but tests: real processes, which are copies of the
// test binary, share one token of an emulator by a store, and are killed and
// stopped, as Redis is. Their clocks and the emulator's are moved on together.
package fleet
