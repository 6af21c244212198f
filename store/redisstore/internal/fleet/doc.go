// Package fleet contains only tests: real processes, which are copies of the test
// binary, share a token through a store, and are killed and suspended, as Redis is;
// LINE fails, and disks fill up. The clocks of the processes, the store and the
// emulator are advanced together.
package fleet
