package lineoauthtest

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

const adminPath = "/_emulator/"

// Help describes LINE's endpoints of the server, its own endpoints, and its faults.
// "lineoauth serve --help" prints it.
func Help() string {
	var b strings.Builder
	b.WriteString("LINE's endpoints (the answer for others is 501):\n\n")
	for _, endpoint := range endpoints() {
		fmt.Fprintf(&b, "    %s\n", endpoint)
	}
	b.WriteString("\nThe emulator's own endpoints, with their JSON:\n\n")
	for _, a := range adminEndpoints {
		fmt.Fprintf(&b, "    %s\n", strings.TrimSpace(a.pattern+" "+a.example))
		fmt.Fprintf(&b, "        %s\n", a.does)
	}
	b.WriteString("\nFaults: ")
	for i, kind := range slices.Sorted(maps.Keys(strikes)) {
		switch {
		case i == 5:
			b.WriteString(",\n")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(kind))
	}
	b.WriteString(`.
A fault also takes "operation" (LINE's operationId, as the state shows it; default any),
"times" (default 1; -1 means all to come) and, by its kind, "status", "retry_after",
"location", "delay" and "skew".`)
	return b.String()
}

// endpoints lists LINE's endpoints of the server, sorted by path.
func endpoints() []string {
	return slices.SortedFunc(maps.Keys(operations), func(a, b string) int {
		methodA, pathA, _ := strings.Cut(a, " ")
		methodB, pathB, _ := strings.Cut(b, " ")
		return cmp.Or(cmp.Compare(pathA, pathB), cmp.Compare(methodA, methodB))
	})
}

// lacking refuses a request for an unknown endpoint.
func lacking(status int, r *http.Request) *refusal {
	has := endpoints()
	if strings.HasPrefix(r.URL.Path, adminPath) {
		has = nil
		for _, a := range adminEndpoints {
			has = append(has, a.pattern)
		}
	} else if status == http.StatusNotFound {
		status = http.StatusNotImplemented // LINE may have it
	}
	return messageRefusal(status, fmt.Sprintf("the emulator has no %s %s; it has %s", shortMethod(r.Method), shortPath(r.URL.EscapedPath()), strings.Join(has, ", ")))
}

func shortMethod(method string) string { return method[:min(len(method), 16)] }

// shortPath omits segments that may be an ID or, by mistake, a token.
func shortPath(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if len(segment) > 24 {
			segments[i] = "…"
		}
	}
	return strings.Join(segments[:min(len(segments), 10)], "/")
}
