package cli

import (
	"net"
	"strconv"
	"strings"
)

// tcpAddress returns the host and port of --listen: PORT and :PORT mean loopback,
// so that nobody listens to the network without saying so.
func tcpAddress(listen string) (string, error) {
	host, port := "", listen
	if strings.Contains(listen, ":") {
		var err error
		if host, port, err = net.SplitHostPort(listen); err != nil {
			return "", errListen
		}
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return "", errListen
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

var errListen = usagef("--listen is PORT, :PORT or HOST:PORT, such as 8080 or 127.0.0.1:8080")
