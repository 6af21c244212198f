//go:build !unix

package simulate

import "time"

var loaded = time.Now()

// cpuTime is the time that has passed, at least.
func cpuTime() time.Duration { return time.Since(loaded) }
