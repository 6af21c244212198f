// Command lineoauth issues, verifies and revokes LINE channel access tokens,
// and emulates LINE's token platform.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)) }
