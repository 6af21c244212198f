// Package simulate searches the life of a token for what breaks it. Its tests run
// fleets of processes in virtual time, on a model of LINE, of the network, of a
// store and of each machine's clocks, all of which fail by a plan that one seed
// decides. What runs in the processes is package life, as it is.
package simulate
