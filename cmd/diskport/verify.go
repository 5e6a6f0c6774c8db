package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/internal/client"
)

type verifyCmd struct {
	regionFlags
	Rate    byteSize // a second; 0 is no limit
	Repair  bool
	From    string // image
	Rebuild bool
	JSON    bool
}

func (c *verifyCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [SNAPSHOT...]",
		Short: "Read everything back and check it.",
		Long: "Read everything back and check it: packs, pages, roots, the database, and what the one says of the other. That takes the service's own account. " +
			"With SNAPSHOT or --all-regions: read those snapshots, or all of the account's, block by block. It goes on to the end, and says of each damage where it is and what to do. " +
			"With --repair: mend what is damaged from other copies that the store has, or with --from from the image that SNAPSHOT was imported from; then verify once more. " +
			"With --rebuild: enter what the store has into a database that was lost, or is older, then verify everything.",
		Example: "  diskport verify\n  diskport verify --repair\n  diskport verify --repair --from disk.vmdk snap-0123456789abcdef0\n  diskport verify --rate 50MiB --json\n  diskport verify snap-0123456789abcdef0",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args) },
	}
	c.declare(cmd.Flags())
	sizeVar(cmd.Flags(), &c.Rate, "rate", 0, "Read this much a second at most: a `SIZE` such as 50MiB. 0 is as much as possible.")
	cmd.Flags().BoolVar(&c.Repair, "repair", false, "Mend what is damaged, if the store has another copy.")
	setEnv(cmd.Flags(), "repair")
	cmd.Flags().StringVar(&c.From, "from", "", "Take what is damaged from this `IMAGE`, which the snapshot was imported from: a file, s3://bucket/key or https://….")
	setEnv(cmd.Flags(), "from")
	cmd.Flags().BoolVar(&c.Rebuild, "rebuild", false, "Enter blocks, pages and snapshots into the database that the store has and the database does not know.")
	setEnv(cmd.Flags(), "rebuild")
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// verification is what verify --json prints.
type verification struct {
	OK        bool                  `json:"ok"`
	Snapshots []client.Verified     `json:"snapshots"`
	Findings  []client.Finding      `json:"findings"`
	Store     *client.StoreVerified `json:"store,omitempty"` // if everything was read
	Repaired  *client.Repaired      `json:"repaired,omitempty"`
	Rebuilt   *client.Rebuilt       `json:"rebuilt,omitempty"`
	Error     string                `json:"error,omitempty"` // why it ended before everything was read
}

// validate refuses what does not go together.
func (c *verifyCmd) validate(ids []string) error {
	some := c.AllRegions || len(ids) > 0
	switch {
	case c.AllRegions && len(ids) > 0:
		return errors.New("--all-regions verifies all snapshots: leave out their ids")
	case c.Rate > 0 && some:
		return errors.New("--rate is for reading everything: leave out what else to verify")
	case c.From != "" && (!c.Repair || c.AllRegions || len(ids) != 1):
		return errors.New("--from goes with --repair, and with the one SNAPSHOT that was imported from the image")
	case c.Rebuild && (c.Repair || some):
		return errors.New("--rebuild is about the whole store: leave out what else to do")
	case c.Repair && c.From == "" && some:
		return errors.New("--repair is about the whole store: leave out what else to verify, or say --from IMAGE")
	}
	return nil
}

// run verifies the store, or snapshots.
func (c *verifyCmd) run(ctx context.Context, a *app, ids []string) error {
	if err := c.validate(ids); err != nil {
		return &usageError{err}
	}
	from, err := absolutePath(c.From)
	if err != nil {
		return err
	}
	if c.Rebuild {
		return c.rebuild(ctx, a)
	}
	return a.withLasting(ctx, func(s *session) error {
		v := &verification{Snapshots: []client.Verified{}, Findings: []client.Finding{}}
		var err error
		switch {
		case c.From != "":
			err = c.repairFrom(ctx, a, s, ids[0], from, v)
		case c.AllRegions || len(ids) > 0:
			err = c.verifySnapshots(ctx, a, s, ids, v)
		case c.Repair:
			err = c.repair(ctx, a, s, v)
		default:
			err = c.verifyStore(ctx, a, s, v)
		}
		return c.report(a, v, err)
	})
}

// watching returns what keeps what is found.
func (v *verification) watching(p *progress, unit int64) client.Watching {
	return client.Watching{
		Progress: func(done, total int64) { p.step("reading", done*unit, total*unit) },
		Found:    func(f client.Finding) { v.Findings = append(v.Findings, f) },
		Snapshot: func(s client.Verified) { v.Snapshots = append(v.Snapshots, s) },
	}
}

// verifyStore reads everything.
func (c *verifyCmd) verifyStore(ctx context.Context, a *app, s *session, v *verification) error {
	p := a.newProgress("verifying")
	done, err := s.VerifyStore(ctx, int64(c.Rate), v.watching(p, 1))
	p.end()
	switch {
	case err == nil:
		v.Store = &done
	case ctx.Err() == nil && len(v.Findings)+len(v.Snapshots) > 0:
		v.Error = explain(ctx, err)
	}
	return err
}

// repair mends what the store has another copy of, and reads everything once more.
func (c *verifyCmd) repair(ctx context.Context, a *app, s *session, v *verification) error {
	p := a.newProgress("repairing")
	first := &verification{}
	done, err := s.Repair(ctx, int64(c.Rate), first.watching(p, 1))
	p.end()
	if err != nil {
		return err
	}
	v.Repaired = &done
	a.note("found %s; mended %s and %s, wrote %s anew, put %s right", count(int64(len(first.Findings)), "finding"),
		count(done.MendedBlocks, "block"), count(done.MendedPages, "page"), count(done.RewrittenPacks, "pack"), count(done.MendedRows, "row"))
	if done.TooMany {
		a.note("there is more damage than is mended at once: run it again")
	}
	if err := c.collect(ctx, s); err != nil {
		return err
	}
	return c.verifyStore(ctx, a, s, v)
}

// rebuild enters what the store has, and verifies everything. A service that runs has its
// database; without one, a service is started that takes any database.
func (c *verifyCmd) rebuild(ctx context.Context, a *app) error {
	var s *session
	serving, err := a.isServing(ctx)
	switch {
	case err != nil:
		return err
	case a.Endpoint != "" || serving != "":
		s, err = a.connect(ctx, a.isServing)
	default:
		s, err = a.startLocal(ctx, func(f *serviceFlags) { f.Rebuild = true })
	}
	if err != nil {
		return err
	}
	v := &verification{Snapshots: []client.Verified{}, Findings: []client.Finding{}}
	p := a.newProgress("rebuilding")
	done, err := s.Rebuild(ctx, v.watching(p, 1))
	p.end()
	if err == nil {
		v.Rebuilt = &done
		a.note("brought back %s that had been set aside; entered %s, %s, %s of pages and %s", count(done.BroughtBack, "file"),
			count(done.Domains, "domain"), count(done.Packs, "pack"), count(done.PagesFiles, "file"), count(done.Snapshots, "snapshot"))
		err = c.verifyStore(ctx, a, s, v)
	}
	return errors.Join(c.report(a, v, err), s.close())
}

// collect frees what was replaced: it would be found again.
func (c *verifyCmd) collect(ctx context.Context, s *session) error {
	_, err := s.CollectGarbage(ctx)
	return err
}

// repairFrom imports the image of a snapshot again. Blocks that are whole are not stored again,
// and those that are damaged are whole then, in every snapshot that has them; so the snapshot that is made is not
// needed.
func (c *verifyCmd) repairFrom(ctx context.Context, a *app, s *session, id, image string, v *verification) error {
	first := &verification{}
	if err := c.verifySnapshots(ctx, a, s, []string{id}, first); err != nil {
		v.Snapshots = first.Snapshots
		return err
	}
	if len(first.Findings) == 0 {
		*v = *first
		return nil
	}
	if slices.ContainsFunc(first.Findings, func(f client.Finding) bool { return f.Part == "root" }) {
		*v = *first // whose advice says what to do
		a.note("the root of %s is damaged, which the image does not mend: nothing was imported", id)
		return nil
	}
	sn, err := s.Snapshot(ctx, id)
	if err != nil {
		return err
	}
	again := importCmd{Description: "to repair " + id, KMSKey: sn.KMSKeyARN, Wait: true}
	disks, err := again.inputs([]string{image})
	if err == nil && len(disks) != 1 {
		err = fmt.Errorf("%s holds %s: name the one that %s is of", image, count(int64(len(disks)), "disk"), id)
	}
	if err != nil {
		return err
	}
	task, err := again.importOne(ctx, a, s, disks[0])
	if err != nil {
		return err
	}
	if task.Status != "completed" {
		a.summary(image, task)
		return errors.New("the image could not be imported again")
	}
	if err := s.Delete(ctx, task.SnapshotID); err != nil {
		return err
	}
	v.Repaired = &client.Repaired{}
	a.note("imported %s again, to repair %s of %s", image, count(int64(len(first.Findings)), "finding"), id)
	return c.verifySnapshots(ctx, a, s, []string{id}, v)
}

// verifySnapshots reads snapshots: the given ones, or all of the account in all regions. One
// that is not there keeps no other from being read.
func (c *verifyCmd) verifySnapshots(ctx context.Context, a *app, s *session, given []string, v *verification) error {
	clients, err := c.clients(ctx, s)
	if err != nil {
		return err
	}
	var failed []error
	for _, in := range clients {
		ids, err := c.ids(ctx, in, given)
		if err != nil {
			return err
		}
		for _, id := range ids {
			p := a.newProgress("verifying " + id)
			one, err := in.Verify(ctx, id, v.watching(p, client.BlockSize))
			p.end()
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				one = client.Verified{SnapshotID: id, Error: explain(ctx, err)}
				failed = append(failed, err)
			}
			v.Snapshots = append(v.Snapshots, one)
		}
	}
	return errors.Join(failed...)
}

// ids returns what to verify: the given snapshots, or else all of the region.
func (c *verifyCmd) ids(ctx context.Context, in *client.Client, given []string) ([]string, error) {
	if len(given) > 0 {
		return given, nil
	}
	all, err := in.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, sn := range all {
		if sn.State == "completed" {
			ids = append(ids, sn.ID)
		}
	}
	return ids, nil
}

// report says what was found. It fails if anything was, or with why not all was verified.
func (c *verifyCmd) report(a *app, v *verification, err error) error {
	damaged := slices.ContainsFunc(v.Findings, func(f client.Finding) bool { return !f.Harmless })
	v.OK = err == nil && !damaged
	for _, s := range v.Snapshots {
		// Where everything was read, the blocks of those that are locked were compared with checksums.
		v.OK = v.OK && (s.OK || s.Locked && v.Store != nil)
	}
	if c.JSON {
		if err := a.printJSON(v); err != nil {
			return err
		}
	} else {
		c.tell(a, v)
	}
	if v.Error != "" {
		a.note("diskport: not everything was read: %s", v.Error)
	}
	switch {
	case damaged || v.Error != "" || err == nil && !v.OK:
		return errReported
	case err != nil && len(v.Snapshots) > 0 && v.Store == nil: // it says which
		return errors.Join(errReported, err)
	}
	return err
}

// tell says it to people.
func (c *verifyCmd) tell(a *app, v *verification) {
	for _, s := range v.Snapshots {
		outcome := "ok"
		switch {
		case s.Locked && v.Store != nil && s.OK:
			outcome = "ok, by its checksums alone, because its key can't be used: " + s.Error
		case s.Locked && s.Findings == 0:
			outcome = "NOT CHECKED, because its key can't be used: " + s.Error
		case s.Findings > 0:
			outcome = "DAMAGED: " + count(s.Findings, "finding")
		case !s.OK:
			outcome = "NOT CHECKED: " + s.Error
		}
		a.printFields(s.SnapshotID, outcome)
	}
	var advice []string
	for _, f := range v.Findings {
		what := "damaged"
		if f.Harmless {
			what = "harmless"
		}
		a.say("%s: %s\n", what, f.Text)
		if to := f.Part + ": " + f.Advice; !slices.Contains(advice, to) {
			advice = append(advice, to)
		}
	}
	if len(advice) > 0 {
		a.say("What to do:\n")
	}
	for _, text := range advice {
		a.say("  %s\n", text)
	}
	if s := v.Store; s != nil {
		for _, text := range s.Locked {
			a.note("compared with checksums alone, because its key can't be used: %s", text)
		}
		for _, text := range s.Notes {
			a.note("not checked: %s", text)
		}
		healed := ""
		if s.Healed > 0 {
			healed = "; " + count(s.Healed, "block") + " that had been damaged can be read again"
		}
		a.say("read %s in %s, with %s of %s: %s%s\n", size(s.Bytes), count(s.Files, "file"), count(s.Blocks, "block"), count(s.Snapshots, "snapshot"), count(s.Findings, "finding"), healed)
	}
}
