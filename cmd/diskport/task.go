package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/internal/client"
)

type taskCmd struct {
	JSON    bool
	NoWatch bool
}

func (c *taskCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "task TASK",
		Short: "Watch an import task until it ends.",
		Long: "Watch an import task until it ends, and show it. The exit code is that of diskport import: 0 if the task has completed, 1 if it failed or was cancelled. " +
			"With --no-watch: show the task as it is, with 0 whatever that is.",
		Example: "  diskport task import-snap-0123456789abcdef0\n  diskport task --no-watch --json import-ami-0123456789abcdef0",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args[0]) },
	}
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON.")
	cmd.Flags().BoolVar(&c.NoWatch, "no-watch", false, "Show the task as it is; do not wait for its end.")
	return cmd
}

// run watches a task.
func (c *taskCmd) run(ctx context.Context, a *app, id string) error {
	return a.with(ctx, func(s *session) error {
		if client.IsImageTask(id) {
			return c.runImage(ctx, a, s, id)
		}
		task, err := s.Task(ctx, id)
		if err != nil {
			return err
		}
		if !task.Ended() && !c.NoWatch {
			p := a.newProgress(id)
			task, err = s.Watch(ctx, id, p.task)
			p.end()
			if err != nil {
				return err
			}
		}
		if c.JSON {
			err = a.printJSON(task)
		} else {
			a.printTask(task)
		}
		return errors.Join(err, c.outcome(task.Status))
	})
}

// outcome fails if a task that was watched has ended in another way than it should.
func (c *taskCmd) outcome(status string) error {
	if c.NoWatch || status == "completed" {
		return nil
	}
	return errReported
}

// runImage watches the import of a machine image.
func (c *taskCmd) runImage(ctx context.Context, a *app, s *session, id string) error {
	task, err := s.ImageTask(ctx, id)
	if err != nil {
		return err
	}
	if !task.Summary().Ended() && !c.NoWatch {
		p := a.newProgress(id)
		task, err = s.WatchImage(ctx, id, func(t client.ImageTask) { p.task(t.Summary()) })
		p.end()
		if err != nil {
			return err
		}
	}
	if c.JSON {
		err = a.printJSON(task)
	} else {
		err = a.printImageTask(task)
	}
	return errors.Join(err, c.outcome(task.Status))
}

func (a *app) printImageTask(t client.ImageTask) error {
	sum := t.Summary()
	a.printFields(
		"Task", t.ID,
		"Region", t.Region,
		"Status", t.Status,
		"Phase", t.Phase,
		"Progress", percent(sum),
		"Image", t.ImageID,
		"Description", t.Description,
		"Architecture", t.Architecture,
		"Boot mode", t.BootMode,
		"Guest", t.Guest,
		"Data", progressed(t.Progress),
		"Took", took(t.Seconds),
		"Notes", strings.Join(t.Notes, " "),
	)
	a.printTroubles(sum)
	var rows [][]string
	for _, d := range t.Disks {
		if d.Task == nil {
			rows = append(rows, []string{d.Device, "", "", "", d.SnapshotID})
			continue
		}
		from := source(*d.Task)
		if d.Member != "" {
			from += " " + d.Member
		}
		rows = append(rows, []string{d.Device, from, d.Task.Format, size(d.Task.VirtualBytes), d.SnapshotID})
	}
	return a.printTable([]string{"Device", "Source", "Format", "Disk", "Snapshot"}, rows)
}

func progressed(p client.Progress) string {
	return fmt.Sprintf("%s of %s, %s", size(p.DoneBytes), size(p.TotalBytes), rate(p.BytesPerSecond))
}

func took(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond).String()
}

func (a *app) printTask(t client.Task) {
	p := t.Progress
	a.printFields(
		"Task", t.ID,
		"Region", t.Region,
		"Status", t.Status,
		"Phase", t.Phase,
		"Progress", percent(t),
		"Snapshot", t.SnapshotID,
		"Name", t.Tags["Name"],
		"Description", t.Description,
		"Source", source(t),
		"Format", t.Format,
		"Virtual", size(t.VirtualBytes),
		"Data", progressed(p),
		"Blocks", blockCounts(p.Blocks),
		"Added", size(p.StoredBytes)+" to the store",
		"Took", took(t.Seconds),
		"Tags", tags(t.Tags),
		"Warnings", strings.Join(t.Warnings, "; "),
	)
	a.printTroubles(t)
}

// printTroubles says what keeps or kept a task from its end.
func (a *app) printTroubles(t client.Task) {
	if r := t.Retry; r != nil {
		a.printFields("Retrying", retrying(*r, time.Now()))
	}
	if w := t.Waiting; w != nil {
		a.printFields("Waiting for", w.For, "Since", w.Since.Local().Format(time.TimeOnly))
	}
	if f := t.Failure; f != nil {
		a.printFields("Failure", f.Message, "Reason", f.Reason, "Detail", f.Detail, "Offset", offset(f), "Hint", f.Hint)
	}
}

// retrying says what is tried again.
func retrying(r client.Retry, now time.Time) string {
	next := "is being tried now"
	if r.Next != nil {
		next = "next try in " + max(0, r.Next.Sub(now)).Round(time.Second).String()
	}
	return fmt.Sprintf("since %s (%s): %s; %s", r.Since.Local().Format(time.TimeOnly), counted(r.Failures, "failure"), r.Cause, next)
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func percent(t client.Task) string {
	if t.Status == "deleted" || t.Status == "deleting" {
		return ""
	}
	return strconv.Itoa(t.Progress.Percent) + "%"
}

func source(t client.Task) string {
	if t.Bucket == "" {
		return strings.TrimSpace(fmt.Sprintf("%s (%s)", t.SourceName, size(t.SourceBytes)))
	}
	return fmt.Sprintf("s3://%s/%s (%s)", t.Bucket, t.Key, size(t.SourceBytes))
}

func offset(f *client.Failure) string {
	if f.Offset == nil {
		return ""
	}
	return strconv.FormatInt(*f.Offset, 10)
}

func blockCounts(b client.Blocks) string {
	return fmt.Sprintf("%d stored, %d zero, %d deduplicated", b.Data-b.Deduplicated, b.Zero, b.Deduplicated)
}
