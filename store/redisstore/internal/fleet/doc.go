// Package fleet has nothing but tests: real processes, which are copies of the
// test binary, share one token of an emulator by a store, and are killed and
// stopped, as Redis is; LINE fails, and disks fill up. The clocks of the
// processes, the store and the emulator are moved on together.
package fleet
