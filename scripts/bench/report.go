package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// report is everything that a run found.
type report struct {
	Time    time.Time    `json:"time"`
	Commit  string       `json:"commit"` // with + behind it if something is not committed
	Machine machine      `json:"machine"`
	Rounds  int          `json:"rounds"`
	Disk    disk         `json:"disk"`
	Limits  limits       `json:"limits"`
	Cases   []caseResult `json:"cases"`
}

type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory"` // MiB
	Kernel string `json:"kernel"`
}

// disk is the standard disk.
type disk struct {
	Size   int64 `json:"size"` // bytes
	Blocks int   `json:"blocks"`
}

type caseResult struct {
	Row     int          `json:"row"`
	Name    string       `json:"name"`
	Load    float64      `json:"load"` // average before it
	Sides   []sideResult `json:"sides,omitempty"`
	Figures []figure     `json:"figures"`
}

// figure is a number that has a goal, or is only to be seen.
type figure struct {
	Quantity string  `json:"quantity"`
	Unit     string  `json:"unit"`
	Value    float64 `json:"value"`
	Most     bool    `json:"most"` // goal and floor are the most that it may be
	Goal     float64 `json:"goal,omitempty"`
	Floor    float64 `json:"floor,omitempty"`
	Allows   float64 `json:"allows,omitempty"` // what the machine does; reaching that is enough
	Verdict  string  `json:"verdict"`
}

func (b *bench) newReport() *report {
	return &report{
		Time: time.Now().UTC().Truncate(time.Second), Commit: commit(), Machine: thisMachine(),
		Rounds: b.rounds, Disk: disk{b.size, len(b.blocks)}, Limits: b.limits,
	}
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func thisMachine() machine {
	m := machine{CPU: runtime.GOARCH, Cores: runtime.NumCPU()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(text), "model name\t: "); ok {
			m.CPU, _, _ = strings.Cut(rest, "\n")
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			if err == nil {
				m.Memory = kib >> 10
			}
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	return m
}

func (r *report) head() string {
	return fmt.Sprintf("%s, commit %s, %d × %s, %d MiB, Linux %s\ndisk of %d MiB with %d blocks, %d rounds, load %.1f\n%s",
		r.Time.Format(time.DateTime), r.Commit, r.Machine.Cores, r.Machine.CPU, r.Machine.Memory, r.Machine.Kernel,
		r.Disk.Size/mib, r.Disk.Blocks, r.Rounds, loadAverage(), r.Limits)
}

// add judges a case, and prints what its sides took.
func (r *report) add(l limits, c benchCase, found result, load float64) {
	done := caseResult{Row: c.row, Name: c.name, Load: load, Sides: found.sides}
	seen := map[quantity]bool{}
	for _, g := range c.goals {
		seen[g.of] = true
		v, ok := found.values[g.of]
		if !ok {
			continue
		}
		f := figure{Quantity: g.of.name, Unit: g.of.unit, Value: v, Most: g.of.most, Goal: g.goal, Floor: g.floor}
		if g.allows != nil {
			f.Allows = g.allows(l, found)
		}
		f.Verdict = f.judge()
		done.Figures = append(done.Figures, f)
	}
	for _, q := range slices.SortedFunc(maps.Keys(found.values), func(x, y quantity) int { return strings.Compare(x.name, y.name) }) {
		if !seen[q] {
			done.Figures = append(done.Figures, figure{Quantity: q.name, Unit: q.unit, Value: found.values[q], Most: q.most})
		}
	}
	r.Cases = append(r.Cases, done)
	fmt.Printf("\n%d %s: %s (load %.1f)\n", c.row, c.name, c.what, load)
	for _, s := range done.Sides {
		fmt.Printf("  %-32s %8.3f s  cpu %7.2f s  peak %5.0f MiB  others %.1f cores\n", s.Name, s.Wall, s.CPU, s.Peak, s.Others)
	}
	for _, f := range done.Figures {
		fmt.Printf("  %-32s %s\n", f.Quantity, f)
	}
}

// judge compares a figure with its goal and floor.
func (f figure) judge() string {
	meets := func(want float64) bool { return f.Most && f.Value <= want || !f.Most && f.Value >= want }
	switch {
	case meets(f.Goal):
		return "reached"
	case f.Allows > 0 && meets(f.Allows):
		return "reached, as the machine allows"
	case meets(f.Floor):
		return "floor"
	default:
		return "below"
	}
}

func (f figure) String() string {
	if f.Verdict == "" {
		return number(f.Value) + " " + f.Unit
	}
	sign := "≥"
	if f.Most {
		sign = "≤"
	}
	text := fmt.Sprintf("%s %s (%s %s, floor %s", number(f.Value), f.Unit, sign, number(f.Goal), number(f.Floor))
	if f.Allows > 0 {
		text += ", the machine allows " + number(f.Allows)
	}
	return text + "): " + f.Verdict
}

// number writes three digits or so.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.1:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}

// table is the figures that have goals.
func (r *report) table() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	put := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) } // to memory
	put("#\tcase\tfigure\tvalue\tgoal\tfloor\tmachine\tverdict\tload\n")
	for _, c := range r.Cases {
		for _, f := range c.Figures {
			if f.Verdict == "" {
				continue
			}
			sign, machine := "≥", ""
			if f.Most {
				sign = "≤"
			}
			if f.Allows > 0 {
				machine = number(f.Allows)
			}
			put("%d\t%s\t%s\t%s %s\t%s %s\t%s\t%s\t%s\t%.1f\n", c.Row, c.Name, f.Quantity, number(f.Value), f.Unit, sign, number(f.Goal), number(f.Floor), machine, f.Verdict, c.Load)
		}
	}
	_ = w.Flush() // to memory
	return text.String()
}

// write writes the report where it is asked for.
func (r *report) write(o options) error {
	if o.json != "" {
		text, err := json.MarshalIndent(r, "", "\t")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if o.history == "" {
		return nil
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(o.history, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}
