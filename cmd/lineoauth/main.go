// Command lineoauth issues, verifies and revokes LINE channel access tokens,
// and emulates LINE's token platform.
package main

import "github.com/lineoauth/lineoauth/internal/cli"

func main() { cli.Main() }
