// Package simulate searches for faults that break the promises of a token's life. Its
// tests run fleets of processes in virtual time, on models of LINE, the network, a
// store and each machine's clocks, all of which fail by a plan that depends on a
// seed. The processes run the unmodified package life.
package simulate
