package conformance

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Strength is how well a fact is known.
type Strength string

// The strengths of facts.
const (
	// Documented facts are in LINE's public reference.
	Documented Strength = "documented"
	// Recorded facts were observed in answers of LINE; [Result.Source] is the source.
	Recorded Strength = "recorded"
	// Claimed facts are from a first-hand report; [Result.Source] is its source.
	Claimed Strength = "claimed"
	// Undocumented facts are choices of this project's emulator. They are only
	// checked on emulators.
	Undocumented Strength = "undocumented"
)

// Verdict is how a server's answer compares with a fact.
type Verdict string

// The verdicts.
const (
	// Agrees means that the server answered as expected.
	Agrees Verdict = "agrees"
	// Differs means that it answered otherwise.
	Differs Verdict = "differs"
	// Unknown means that the row could not be tested, or LINE does not document it;
	// [Result.Reason] contains which.
	Unknown Verdict = "unknown"
)

// Result is one row of a report.
type Result struct {
	// Row names the fact.
	Row string `json:"row"`
	// Endpoint is the endpoint, such as "GET /oauth2/v2.1/verify".
	Endpoint string `json:"endpoint"`
	// Strength is how well the fact is known.
	Strength Strength `json:"strength"`
	// Source is the project and date of a fact that is recorded or claimed.
	Source string `json:"source,omitempty"`
	// Verdict is the result of comparing the answer with the fact.
	Verdict Verdict `json:"verdict"`
	// Expected describes the expected answer.
	Expected string `json:"expected"`
	// Got describes the server's answer, or is empty if there was none.
	Got string `json:"got,omitempty"`
	// Reason is why the verdict is Unknown.
	Reason string `json:"reason,omitempty"`
	// RequestID is the answer's X-Line-Request-Id.
	RequestID string `json:"request_id,omitempty"`

	open bool // the expected answer has more than one form
}

// Report is the outcome of one [Run]. It contains no secret.
type Report struct {
	// Server is the base URL.
	Server string `json:"server"`
	// Emulator reports whether the server is an emulator.
	Emulator bool `json:"emulator"`
	// Time is when the run began, by the client's clock.
	Time time.Time `json:"time"`
	// Requests counts the requests that were sent.
	Requests int `json:"requests"`
	// Rows are the facts, in the order in which they were tested.
	Rows []Result `json:"rows"`
}

// Count returns how many rows have the verdict v.
func (r *Report) Count(v Verdict) int { return len(r.names(v)) }

// names returns the rows that have the verdict v.
func (r *Report) names(v Verdict) (names []string) {
	for _, row := range r.Rows {
		if row.Verdict == v {
			names = append(names, row.Row)
		}
	}
	return names
}

func (r *Report) summary() string {
	kind := "server"
	if r.Emulator {
		kind = "emulator"
	}
	return fmt.Sprintf("%s (%s), %s, %d requests: %d rows agree, %d differ, %d unknown",
		r.Server, kind, r.Time.UTC().Format(time.RFC3339), r.Requests, r.Count(Agrees), r.Count(Differs), r.Count(Unknown))
}

// remark explains the verdict of a row.
func (r *Result) remark() string {
	var parts []string
	if r.Verdict == Differs {
		parts = append(parts, "expected "+r.Expected)
	}
	if r.Got != "" && (r.Verdict != Agrees || r.open) {
		parts = append(parts, "got "+r.Got)
	}
	if r.Reason != "" {
		parts = append(parts, r.Reason)
	}
	return strings.Join(parts, "; ")
}

func (r *Result) known() string {
	if r.Source == "" {
		return string(r.Strength)
	}
	return string(r.Strength) + " (" + r.Source + ")"
}

// WriteText writes the report as a table for a terminal.
func (r *Report) WriteText(w io.Writer) error {
	var row, known int // widths
	for _, result := range r.Rows {
		row, known = max(row, len(result.Row)), max(known, len(result.known()))
	}
	var b strings.Builder
	for _, result := range r.Rows {
		line := fmt.Sprintf("%-7s  %-*s  %-*s  %s", result.Verdict, row, result.Row, known, result.known(), result.remark())
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	_, err := fmt.Fprintf(w, "%s\n%s\n", b.String(), r.summary())
	return err
}

// WriteMarkdown writes the report as a table for an issue on GitHub.
func (r *Report) WriteMarkdown(w io.Writer) error {
	cell := strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", "`", "'", "](", "] (")
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n| row | endpoint | strength | verdict | remark | request ID |\n|---|---|---|---|---|---|\n", cell.Replace(r.summary()))
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", row.Row, cell.Replace(row.Endpoint), cell.Replace(row.known()),
			row.Verdict, cell.Replace(row.remark()), cell.Replace(row.RequestID))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
