package cli

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// tcpAddress returns the host and port of --listen, of which forms are the valid forms.
// PORT and :PORT mean loopback, so that listening on the network is explicit.
func tcpAddress(listen, forms string) (string, error) {
	invalid := usagef("invalid --listen: use %s", forms)
	host, port := "", listen
	if strings.Contains(listen, ":") {
		var err error
		if host, port, err = net.SplitHostPort(listen); err != nil {
			return "", invalid
		}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", invalid
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// urlOf returns the URL at which this machine reaches the listener.
func urlOf(address net.Addr) string {
	if tcp, ok := address.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("http://127.0.0.1:%d", tcp.Port)
	}
	return "http://" + address.String()
}
