package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// step sends the requests of a row. An error that is an [untried] is the reason why
// it did not.
type step func(ctx context.Context, r *run) (*answer, error)

// untried is the reason why a row cannot be checked.
type untried string

func (u untried) Error() string { return string(u) }

// value returns a parameter's value, or the reason why there is none.
type value func(r *run) (string, error)

// param is a parameter of a query or form.
type param struct {
	name  string
	value value
}

func text(s string) value { return func(*run) (string, error) { return s, nil } }

// The values of the channel, and unknown ones.
func ownID(r *run) (string, error) {
	if r.cfg.ChannelID == "" {
		return "", untried("needs a channel ID")
	}
	return r.cfg.ChannelID, nil
}

func ownSecret(r *run) (string, error) {
	if r.cfg.ChannelSecret.IsZero() {
		return "", untried("needs the channel secret")
	}
	return r.cfg.ChannelSecret.Reveal(), nil
}

func unknownID(r *run) (string, error) {
	if r.cfg.ChannelID == "1" {
		return "2", nil
	}
	return "1", nil
}

func wrongSecret(r *run) (string, error) { return r.wrongSecret, nil }
func opaque(r *run) (string, error)      { return r.opaque, nil }
func wellFormed(r *run) (string, error)  { return r.jws, nil }

const (
	grantType     = "client_credentials"
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// unreadable has the three parts of a JWS, but none in base64url.
	unreadable = "!!!.!!!.!!!"
)

func grant() param                   { return param{"grant_type", text(grantType)} }
func byAssertion() param             { return param{"client_assertion_type", text(assertionType)} }
func clientID(v value) param         { return param{"client_id", v} }
func clientSecret(v value) param     { return param{"client_secret", v} }
func accessToken(v value) param      { return param{"access_token", v} }
func signed(changes ...change) param { return param{"client_assertion", assertionWith(changes...)} }

// values evaluates parameters.
func (r *run) values(params []param) (url.Values, error) {
	form := make(url.Values, len(params))
	for _, p := range params {
		v, err := p.value(r)
		if err != nil {
			return nil, err
		}
		form.Set(p.name, v)
	}
	return form, nil
}

// ask sends parameters in the query of a GET, otherwise in a form.
func ask(to endpoint, params ...param) step {
	return askAs(to, formType, url.Values.Encode, params...)
}

// askAs sends them in a body of another content type.
func askAs(to endpoint, contentType string, encode func(url.Values) string, params ...param) step {
	return func(ctx context.Context, r *run) (*answer, error) {
		form, err := r.values(params)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(string(to), "GET ") {
			return r.call(ctx, request{to: to, query: form})
		}
		return r.call(ctx, request{to: to, contentType: contentType, body: encode(form), form: form})
	}
}

// then runs steps and returns the last answer; the earlier steps must get one, too.
func then(steps ...step) step {
	return func(ctx context.Context, r *run) (a *answer, err error) {
		for _, s := range steps {
			if a, err = s(ctx, r); err != nil {
				return nil, err
			}
		}
		return a, nil
	}
}

func askInfo(authorization value) step {
	return func(ctx context.Context, r *run) (*answer, error) {
		q := request{to: botInfo}
		if authorization != nil {
			token, err := authorization(r)
			if err != nil {
				return nil, err
			}
			q.header = http.Header{"Authorization": {"Bearer " + token}}
		}
		return r.call(ctx, q)
	}
}

// askBasic sends the credentials in the Authorization header, as OAuth allows.
func askBasic(ctx context.Context, r *run) (*answer, error) {
	id, err := ownID(r)
	if err != nil {
		return nil, err
	}
	secret, err := ownSecret(r)
	if err != nil {
		return nil, err
	}
	var basic http.Request
	basic.Header = make(http.Header)
	basic.SetBasicAuth(id, secret)
	r.hide(strings.TrimPrefix(basic.Header.Get("Authorization"), "Basic "))
	return r.call(ctx, request{
		to: issueShort, contentType: formType, body: url.Values{"grant_type": {grantType}}.Encode(),
		header: basic.Header,
	})
}

func encodeJSON(form url.Values) string {
	fields := make(map[string]string, len(form))
	for name := range form {
		fields[name] = form.Get(name)
	}
	body, _ := json.Marshal(fields) // strings always marshal
	return string(body)
}

const boundary = "lineoauth-conformance"

func encodeMultipart(form url.Values) string {
	var b strings.Builder
	for name := range form {
		b.WriteString("--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + form.Get(name) + "\r\n")
	}
	return b.String() + "--" + boundary + "--\r\n"
}

// admin calls an endpoint of the emulator's own, which requires JSON to keep web pages out.
func admin(to endpoint, body string) step {
	return func(ctx context.Context, r *run) (*answer, error) {
		a, err := r.call(ctx, request{to: to, contentType: "application/json", body: body})
		if err == nil && a.status != http.StatusOK {
			return nil, untried("the emulator refused " + string(to) + " with " + r.describe(a))
		}
		return a, err
	}
}

// isUntried reports whether an error only means that a row cannot be checked.
func isUntried(err error) bool {
	var u untried
	return errors.As(err, &u)
}
