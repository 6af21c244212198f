//go:build unix

package fleet

import (
	"strings"
	"testing"

	"github.com/lineoauth/lineoauth/store/redisstore/internal/redisserver"
)

// cronStarts is more often than a channel can have tokens.
const cronStarts = 34

// wantNothing starts cron jobs that must not get a token, nor ask for one, since
// they could not save it.
func (f *fleet) wantNothing(why string) {
	f.t.Helper()
	issues := f.issues()
	f.settings.Once, f.settings.MaxAttempts = true, 1
	for range cronStarts {
		m := f.start(1)[0]
		<-m.ended
		m.end()
		if len(m.keyIDs) > 0 || len(m.gaps) != 1 || !strings.Contains(m.gaps[0], why) {
			f.t.Fatalf("a process does not say %q%s", why, f.trouble())
		}
		if f.leased() {
			f.t.Fatal("a process leaves its lease behind")
		}
		f.processes = nil
	}
	f.wantIssues(issues, "by a store that cannot be written")
	f.settings.Once, f.settings.MaxAttempts = false, 0
}

// A proxy of Redis, or the rights of a user, may lack scripts.
func TestRedisWithoutScripts(t *testing.T) {
	t.Parallel()
	server := redisserver.Start(t)
	admin := server.Client()
	rights := func(scripts string) {
		t.Helper()
		if err := admin.Do(t.Context(), "ACL", "SETUSER", "bot", "on", ">bot", "~*", "&*", "+@all", scripts).Err(); err != nil {
			t.Fatal(err)
		}
	}
	rights("-@scripting")
	f := newFleet(t, settings{Redis: server.Addr, User: "bot"})
	f.wantNothing("NOPERM")
	if keys, err := admin.Keys(t.Context(), "*").Result(); err != nil || len(keys) > 0 {
		t.Errorf("there are %q, %v in Redis; want nothing", keys, err)
	}
	rights("+@scripting")
	f.start(1)
	f.agree("with scripts")
	f.wantIssues(1, "with scripts")
}
