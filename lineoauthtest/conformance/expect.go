package conformance

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// expect is an expected answer.
type expect struct {
	text string
	ok   func(r *run, a *answer) bool
	// got describes the answer, if run.describe is not enough.
	got func(r *run, a *answer) string
	// open: the answer may have more than one form.
	open bool
	// of is the required field that is checked.
	of string
}

func (e expect) or(other expect) expect {
	return expect{
		text: e.text + " or " + other.text,
		ok:   func(r *run, a *answer) bool { return e.ok(r, a) || other.ok(r, a) },
		open: true,
	}
}

// anyText is a text that LINE does not document.
const anyText = "(any text)"

// refused expects an OAuth error, without a description if that is "".
func refused(code, description string) expect {
	name := fmt.Sprintf("400 %s: %s", code, description)
	if description == "" {
		name = "400 " + code
	}
	return expect{text: name, open: description == anyText, ok: func(_ *run, a *answer) bool {
		return a.status == http.StatusBadRequest && has(a, "error", code) && has(a, "error_description", description) && has(a, "message", "")
	}}
}

// answered expects an error in the Messaging API's format.
func answered(status int, message string) expect {
	return expect{text: fmt.Sprintf("%d message: %s", status, message), ok: func(_ *run, a *answer) bool {
		return a.status == status && has(a, "message", message) && has(a, "error", "") && has(a, "error_description", "")
	}}
}

// scope expects one of the formats of a scope.
func scope(what, form string) expect {
	e := field("scope", what, form)
	e.got = func(r *run, a *answer) string { return "scope " + r.clean(a.text("scope")) }
	return e
}

// has reports whether a field is the text want, or absent if that is "".
func has(a *answer, name, want string) bool {
	got, ok := a.fields[name]
	return want == anyText || want == "" && !ok || ok && got == want
}

func missed() expect { return refused("invalid_request", "some parameters missed or invalid") }

// refusedSomehow expects any 4xx status.
func refusedSomehow() expect {
	return expect{text: "any status 4xx", ok: func(_ *run, a *answer) bool { return a.status/100 == 4 }}
}

func status(want int) expect {
	return expect{text: fmt.Sprint(want), ok: func(_ *run, a *answer) bool { return a.status == want }}
}

// emptyOK is the answer to a revocation.
func emptyOK() expect {
	return expect{text: "200, empty body", ok: func(_ *run, a *answer) bool { return a.status == http.StatusOK && len(a.body) == 0 }}
}

// issued expects a new token with lifetime d, minus a second at most.
func issued(d time.Duration, more ...string) expect {
	want := int64(d / time.Second)
	names := strings.Join(append([]string{"access_token", "expires_in", "token_type"}, more...), ", ")
	return expect{
		text: fmt.Sprintf("200 with %s; Bearer, expires_in %d", names, want),
		ok: func(_ *run, a *answer) bool {
			left, ok := a.integer("expires_in")
			for _, name := range more {
				ok = ok && a.text(name) != ""
			}
			return ok && a.status == http.StatusOK && a.text("access_token") != "" && a.text("token_type") == "Bearer" && (left == want || left == want-1)
		},
	}
}

// verified expects LINE's answer for one of the channel's valid tokens.
func verified(least int64) expect {
	return expect{text: fmt.Sprintf("200 with client_id of the channel, expires_in of %d or more", least), ok: func(r *run, a *answer) bool {
		left, ok := a.integer("expires_in")
		return ok && left >= least && a.status == http.StatusOK && a.text("client_id") == r.cfg.ChannelID
	}}
}

// keyIDs expects a list of key IDs that satisfies check.
func keyIDs(what string, check func(r *run, kids []string) bool) expect {
	return expect{text: "200 with kids" + what, ok: func(r *run, a *answer) bool {
		kids, ok := a.kids()
		return ok && a.status == http.StatusOK && check(r, kids)
	}}
}

func anyKeyIDs() expect { return keyIDs("", func(*run, []string) bool { return true }) }

func (a *answer) kids() (kids []string, ok bool) {
	list, ok := a.fields["kids"].([]any)
	for _, kid := range list {
		s, isText := kid.(string)
		kids, ok = append(kids, s), ok && isText
	}
	return kids, ok
}

func (a *answer) integer(name string) (int64, bool) {
	n, ok := a.fields[name].(float64)
	return int64(n), ok && n == float64(int64(n))
}

// inOrder expects the named fields of a body in this order, ignoring others.
func inOrder(names ...string) expect {
	return expect{text: strings.Join(names, ", "), ok: func(_ *run, a *answer) bool {
		known := func(name string) bool { return slices.Contains(names, name) }
		got := slices.DeleteFunc(fieldOrder(a.body), func(name string) bool { return !known(name) })
		want := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(got, name) })
		return slices.Equal(got, want)
	}, got: func(r *run, a *answer) string { return r.clean(strings.Join(fieldOrder(a.body), ", ")) }}
}

// fieldOrder returns the names of the fields of a JSON object in order.
func fieldOrder(body []byte) (names []string) {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err != nil || d.Decode(&value) != nil {
			return names
		}
		names = append(names, fmt.Sprint(name))
	}
	return names
}

// field expects a format of a text field.
func field(name, what, form string) expect {
	pattern := regexp.MustCompile(form)
	return expect{
		text: what, of: name,
		ok:  func(_ *run, a *answer) bool { return pattern.MatchString(a.text(name)) },
		got: func(_ *run, a *answer) string { return fmt.Sprintf("%s of %d letters", name, len(a.text(name))) },
	}
}

const jwsHeader = `{"alg":"HS256"}`

// jwsParts returns the decoded header and payload of an answer's token.
func jwsParts(a *answer) (header, payload []byte, ok bool) {
	parts := strings.Split(a.text("access_token"), ".")
	if len(parts) != 3 {
		return nil, nil, false
	}
	header, errHeader := base64.RawURLEncoding.DecodeString(parts[0])
	payload, errPayload := base64.RawURLEncoding.DecodeString(parts[1])
	return header, payload, errHeader == nil && errPayload == nil
}

func jwsWithHeader() expect {
	return expect{text: "a JWS with the header " + jwsHeader, of: "access_token", ok: func(_ *run, a *answer) bool {
		header, _, ok := jwsParts(a)
		return ok && string(header) == jwsHeader
	}, got: func(r *run, a *answer) string {
		header, _, ok := jwsParts(a)
		if !ok {
			return "no JWS"
		}
		return "the header " + r.clean(string(header))
	}}
}

func payloadNotJSON() expect {
	return expect{text: "a payload that is not JSON", of: "access_token", ok: func(_ *run, a *answer) bool {
		_, payload, ok := jwsParts(a)
		return !ok || !json.Valid(payload)
	}, got: func(_ *run, a *answer) string {
		_, payload, _ := jwsParts(a)
		return fmt.Sprintf("%d bytes, JSON: %t", len(payload), json.Valid(payload))
	}}
}
