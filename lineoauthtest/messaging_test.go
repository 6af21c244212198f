package lineoauthtest_test

import (
	"bytes"
	"image/png"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lineoauth/lineoauth"
	"github.com/lineoauth/lineoauth/lineoauthtest"
)

func itoa(n int) string { return strconv.Itoa(n) }

// bot returns a function that calls the Messaging API as a bot of srv's own channel.
func bot(t *testing.T, srv *lineoauthtest.Server) func(method, path, body string) (int, string) {
	t.Helper()
	token := srv.Channel().IssueLongLivedToken().Reveal()
	return func(method, path, body string) (int, string) {
		t.Helper()
		return request(t, http.DefaultClient, method, srv.URL+path, body, "Authorization", "Bearer "+token, "Content-Type", "application/json")
	}
}

func TestMulticastAndBroadcast(t *testing.T) {
	srv := newServer(t)
	ask := bot(t, srv)
	const messages = `"messages":[{"type":"text","text":"hi"}]`
	many := strings.TrimSuffix(strings.Repeat(`"U1",`, 501), ",")
	for call, want := range map[string]string{
		`multicast {"to":["U1","U2"],` + messages + `}`:    "200 {}",
		`broadcast {` + messages + `}`:                     "200 {}",
		`broadcast {"notificationDisabled":true}`:          `400 messages`,
		`multicast {"to":[],` + messages + `}`:             `400 "property":"to"`,
		`multicast {"to":"U1",` + messages + `}`:           `400 "property":"to"`,
		`multicast {"to":[""],` + messages + `}`:           `400 "property":"to"`,
		`multicast {"to":[` + many + `],` + messages + `}`: `400 "property":"to"`,
		`multicast {"to":["U1"],"messages":[]}`:            `400 "property":"messages"`,
		`multicast {"to":["U1"],"messages":[1,2,3,4,5,6]}`: `400 "property":"messages"`,
		`multicast [`:                         `400 JSON`,
		`push {"to":"U9",` + messages + `}`:   `200 sentMessages`,
		`push {"to":["U9"],` + messages + `}`: `400 "property":"to"`,
	} {
		op, body, _ := strings.Cut(call, " ")
		status, text := ask("POST", "/v2/bot/message/"+op, body)
		wantStatus, wantText, _ := strings.Cut(want, " ")
		if itoa(status) != wantStatus || !strings.Contains(text, wantText) {
			t.Errorf("%.80s: %d %s", call, status, text)
		}
	}
	got := map[lineoauth.Operation]lineoauthtest.Message{}
	for _, m := range srv.State().Messages {
		if len(m.ID) != 18 || m.ChannelID != srv.Channel().ID || string(m.Message) != `{"type":"text","text":"hi"}` {
			t.Errorf("%+v", m)
		}
		got[m.Operation] = lineoauthtest.Message{To: m.To, Recipients: m.Recipients}
	}
	want := map[lineoauth.Operation]lineoauthtest.Message{
		lineoauthtest.OpMulticast: {Recipients: []string{"U1", "U2"}}, lineoauthtest.OpBroadcast: {}, lineoauthtest.OpPushMessage: {To: "U9"},
	}
	if diff := cmp.Diff(want, got); diff != "" || len(srv.State().Messages) != 3 {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	// The same by HTTP.
	if _, state := request(t, http.DefaultClient, "GET", srv.URL+"/_emulator/state", ""); !strings.Contains(state, `"recipients":["U1","U2"]`) {
		t.Errorf("state: %s", state)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	srv := newServer(t)
	ask := bot(t, srv)
	for i := range 25 {
		if status, _ := ask("POST", "/v2/bot/message/push", `{"to":"U`+itoa(i)+`","messages":["a","b","c","d","e"]}`); status != 200 {
			t.Fatal(status)
		}
	}
	if got := srv.State().Messages; len(got) != 100 || got[0].To != "U5" || got[99].To != "U24" {
		t.Errorf("%d messages from %s to %s", len(got), got[0].To, got[99].To)
	}
	for range 5 {
		if status, _ := ask("POST", "/v2/bot/message/push", `{"to":"U","messages":["`+strings.Repeat("x", 1<<20-100)+`"]}`); status != 200 {
			t.Fatal(status)
		}
	}
	if got := srv.State().Messages; len(got) != 4 {
		t.Errorf("%d messages of 1 MiB", len(got))
	}
}

func TestProfiles(t *testing.T) {
	l := newLine(t)
	ask := bot(t, l.srv)
	if status, body := ask("GET", "/v2/bot/profile/U4af4980629", ""); status != 200 || !strings.Contains(body, `{"userId":"U4af4980629","displayName":"Emulated user U4af49"`) {
		t.Errorf("the default profile: %d %s", status, body)
	}
	if status, _ := ask("GET", "/v2/bot/profile/x", ""); status != 404 {
		t.Errorf("no user: %d", status)
	}
	if err := l.srv.SetProfile(lineoauthtest.Profile{UserID: "U1", DisplayName: "Ann", Language: "ja"}); err != nil {
		t.Fatal(err)
	}
	if status, answer := l.admin("POST", "profiles", `{"userId":"U2","displayName":"Bob","pictureUrl":"https://line.example/b"}`); status != 200 || answer["now"] == nil {
		t.Errorf("%d %v", status, answer)
	}
	if status, answer := l.admin("POST", "profiles", `{"userId":"U3"}`); status != 200 {
		t.Errorf("%d %v", status, answer)
	}
	for id, want := range map[string]string{
		"U1": `200 {"userId":"U1","displayName":"Ann","language":"ja"}`, "U2": `200 {"userId":"U2","displayName":"Bob","pictureUrl":"https://line.example/b"}`, "U3": `404 {"message":"Not found"}`,
	} {
		if status, body := ask("GET", "/v2/bot/profile/"+id, ""); strings.TrimSpace(itoa(status)+" "+body) != want {
			t.Errorf("%s: %d %s", id, status, body)
		}
	}
	if status, _ := request(t, http.DefaultClient, "GET", l.srv.URL+"/v2/bot/profile/U1", ""); status != 401 {
		t.Errorf("without a token: %d", status)
	}
	for _, bad := range []string{`{}`, `{"userId":"U1","displayName":"` + strings.Repeat("x", 1001) + `"}`} {
		if status, answer := l.admin("POST", "profiles", bad); status != 400 {
			t.Errorf("%.40s: %d %v", bad, status, answer)
		}
	}
	for i := range 997 {
		if err := l.srv.SetProfile(lineoauthtest.Profile{UserID: "V" + itoa(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.srv.SetProfile(lineoauthtest.Profile{UserID: "more"}); err == nil {
		t.Error("the 1,001st profile")
	}
	if err := l.srv.SetProfile(lineoauthtest.Profile{UserID: "U1", DisplayName: "Eve"}); err != nil {
		t.Errorf("a profile that is there: %v", err)
	}
}

func TestContents(t *testing.T) {
	l := newLine(t)
	ask := bot(t, l.srv)
	status, body := ask("GET", "/v2/bot/message/325708/content", "")
	if _, err := png.Decode(strings.NewReader(body)); status != 200 || err != nil {
		t.Errorf("the default picture: %d, %v", status, err)
	}
	voice := []byte{0, 1, 2, 255}
	if err := l.srv.SetContent("1", "audio/x-m4a", voice); err != nil {
		t.Fatal(err)
	}
	voice[0] = 9
	if status, answer := l.admin("POST", "contents", `{"message_id":"2","data":"AAEC/w=="}`); status != 200 {
		t.Errorf("%d %v", status, answer)
	}
	for id, want := range map[string]string{"1": "audio/x-m4a", "2": "application/octet-stream"} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", l.srv.URL+"/v2/bot/message/"+id+"/content", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "api-data.line.me"
		req.Header.Set("Authorization", "Bearer "+l.token(l.issueShort(l.channel.ID, l.channel.Secret)))
		rsp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		_, err = got.ReadFrom(rsp.Body)
		_ = rsp.Body.Close()
		if err != nil || rsp.StatusCode != 200 || rsp.Header.Get("Content-Type") != want || !bytes.Equal(got.Bytes(), []byte{0, 1, 2, 255}) {
			t.Errorf("%s: %v %q, %v", id, rsp, got.Bytes(), err)
		}
	}
	if err := l.srv.SetContent("1", "", nil); err != nil {
		t.Fatal(err)
	}
	if status, body := ask("GET", "/v2/bot/message/1/content", ""); status != 404 || !strings.Contains(body, "Not found") {
		t.Errorf("unsent: %d %s", status, body)
	}
	if status, _ := request(t, http.DefaultClient, "GET", l.srv.URL+"/v2/bot/message/2/content", ""); status != 401 {
		t.Errorf("without a token: %d", status)
	}
	for _, bad := range []string{`{"data":"AA=="}`, `{"message_id":"1","data":"?"}`, `{"message_id":"1","content_type":"a\r\nb","data":"AA=="}`} {
		if status, answer := l.admin("POST", "contents", bad); status != 400 {
			t.Errorf("%s: %d %v", bad, status, answer)
		}
	}
	if err := l.srv.SetContent("3", "", make([]byte, 16<<20)); err == nil {
		t.Error("more than 16 MiB")
	}
	for i := range 98 {
		if err := l.srv.SetContent("m"+itoa(i), "", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.srv.SetContent("more", "", []byte("x")); err == nil {
		t.Error("the 101st content")
	}
}

// Token buckets: what is over the rate is refused, by channel and endpoint, until time
// has filled them.
func TestRateLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := lineoauthtest.NewUnstartedServer()
		defer srv.Close()
		client := &http.Client{Transport: srv.Transport()}
		other, err := srv.AddChannel("", "")
		if err != nil {
			t.Fatal(err)
		}
		const host = "https://api.line.me"
		credentials := func(c *lineoauthtest.Channel) string {
			return "grant_type=client_credentials&client_id=" + c.ID + "&client_secret=" + c.Secret
		}
		// answered counts the answers with a status to n requests at one moment.
		answered := func(n, status int, ask func() int) int {
			count := 0
			for range n {
				if ask() == status {
					count++
				}
			}
			return count
		}
		short := func(form string) func() int {
			return func() int {
				status, _ := request(t, client, "POST", host+"/v2/oauth/accessToken", form, "Content-Type", formType)
				return status
			}
		}
		info := func() int {
			status, _ := request(t, client, "GET", host+"/v2/bot/info", "", "Authorization", "Bearer "+srv.Channel().IssueLongLivedToken().Reveal())
			return status
		}
		if n := answered(400, 200, short(credentials(srv.Channel()))); n != 400 {
			t.Errorf("limits off: %d answers", n)
		}
		srv.LimitRates(true)
		if n := answered(400, 200, short(credentials(srv.Channel()))); n != 370 {
			t.Errorf("limits on: %d answers", n)
		}
		if n := answered(10, 200, short(credentials(other))); n != 10 {
			t.Errorf("another channel: %d answers", n)
		}
		if n := answered(10, 400, short("grant_type=client_credentials&client_id=1&client_secret=x")); n != 10 {
			t.Errorf("nobody's: %d answers", n)
		}
		if n := answered(2010, 429, info); n != 10 {
			t.Errorf("another endpoint: %d are refused", n)
		}
		time.Sleep(100 * time.Millisecond)
		if n := answered(50, 200, short(credentials(srv.Channel()))); n != 37 {
			t.Errorf("a tenth of a second later: %d answers", n)
		}
		srv.Advance(time.Hour)
		if n := answered(400, 200, short(credentials(srv.Channel()))); n != 370 {
			t.Errorf("an hour later: %d answers", n)
		}
		status, body := request(t, client, "POST", host+"/v2/oauth/accessToken", credentials(srv.Channel()), "Content-Type", formType)
		if status != 429 || !strings.Contains(body, "The API rate limit has been exceeded. Try again later.") {
			t.Errorf("%d %s", status, body)
		}
		if last := srv.State().Requests[99]; last.Status != 429 || last.Fault != "" || !srv.State().RateLimits {
			t.Errorf("it was noted as %+v", last)
		}
		srv.LimitRates(false)
		if n := answered(10, 200, short(credentials(srv.Channel()))); n != 10 {
			t.Errorf("limits off again: %d answers", n)
		}
	})
}
