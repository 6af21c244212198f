package secret_test

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/lineoauth/lineoauth/internal/secret"
)

func TestText(t *testing.T) {
	text := strings.Repeat("hunter2", 3)
	a, b := secret.New(text), secret.New(strings.Clone(text))
	if a != b || !reflect.DeepEqual(a, b) || a == secret.New("other") || a == (secret.Text{}) {
		t.Error("texts are not compared by value")
	}
	if (secret.Text{}) != secret.New("") || (secret.Text{}).Reveal() != "" {
		t.Error("the zero Text is not the empty one")
	}
	for range 3 { // what nothing else refers to is kept
		runtime.GC()
	}
	if got := a.Reveal(); got != text {
		t.Errorf("Reveal() = %q", got)
	}
	for _, shown := range []string{fmt.Sprint(a), fmt.Sprintf("%#v", struct{ t secret.Text }{a}), fmt.Sprintf("%+v", &a), fmt.Sprintf("%v", []secret.Text{a})} {
		if strings.Contains(shown, "hunter2") {
			t.Errorf("shown as %s", shown)
		}
	}
}
