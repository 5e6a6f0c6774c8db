package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/diskport/diskport/internal/client"
)

type doctorCmd struct {
	JSON bool
}

func (c *doctorCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the set-up, and say how to mend it.",
		Long: "Check the set-up: data directory, disk space, port, service, certificate, clock, database, S3, KMS and service role. " +
			"On one of many nodes, with its settings, it says what the disk is needed for there. " +
			"Exit code 1 says that something does not work; what is only worth knowing is a warning.",
		Example: "  diskport doctor\n  diskport doctor --data /srv/diskport --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), a) },
	}
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// finding is what doctor has found about one thing.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // "ok", "warning" or "failed"
	Found  string `json:"found"`
	Mend   string `json:"mend,omitempty"` // what to do
}

const (
	fine    = "ok"
	warning = "warning"
	failed  = "failed"
)

// checkup gathers findings.
type checkup struct {
	app      *app
	flags    *serviceFlags
	findings []finding
}

func (c *checkup) note(check, status, mend, found string, args ...any) {
	c.findings = append(c.findings, finding{check, status, fmt.Sprintf(found, args...), mend})
}

// run checks everything.
func (c *doctorCmd) run(ctx context.Context, a *app) error {
	flags, err := a.localFlags()
	if err != nil {
		return err
	}
	up := &checkup{app: a, flags: flags}
	up.all(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if c.JSON {
		err = a.printJSON(up.findings)
	} else {
		up.print()
	}
	for _, f := range up.findings {
		if f.Status == failed {
			return errors.Join(err, errReported)
		}
	}
	return err
}

func (c *checkup) print() {
	p := newPage(c.app.stdout)
	for _, f := range c.findings {
		_, _ = fmt.Fprintf(p, "%-8s %-12s ", f.Status, f.Check)
		p.paragraph(22, f.Found)
		if f.Mend != "" {
			_, _ = fmt.Fprintf(p, "%22s", "")
			p.paragraph(22, "→ "+f.Mend)
		}
	}
}

func (c *checkup) all(ctx context.Context) {
	there := true
	if c.app.Endpoint == "" {
		there = c.directory() || c.flags.Database != "" // a node has nothing there that is looked at below
		c.space()
		c.certificate()
	}
	endpoint := c.app.Endpoint
	if endpoint == "" {
		var err error
		if endpoint, err = c.app.isServing(ctx); err != nil {
			c.note("service", failed, "", "%v", err)
			return
		}
	}
	switch {
	case endpoint != "":
		c.note("service", fine, "", "runs at %s", endpoint)
		c.clock(ctx, endpoint)
	default:
		c.note("service", fine, "", "none runs; commands start one for themselves, and AWS clients need diskport serve")
		c.port()
	}
	if !there {
		c.note("the rest", fine, "", "can be checked once something has been imported")
		return
	}
	if err := c.app.withLasting(ctx, func(s *session) error { c.parts(ctx, s); return nil }); err != nil {
		c.note("connection", failed, "", "%s", explain(ctx, err))
	}
}

// directory checks the data directory, and returns whether there is one.
func (c *checkup) directory() bool {
	dir := c.app.Data
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.note("data", fine, "", "%s is not there yet; it is made at first use", dir)
		return false
	case err != nil:
		c.note("data", failed, "see that you may open it, or name another one with --data", "%v", err)
		return false
	case !info.IsDir():
		c.note("data", failed, "name another one with --data", "%s is no folder", dir)
		return false
	}
	if err := unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
		c.note("data", failed, "run this as the user that the service runs as, or name another one with --data", "%s: %v", dir, err)
		return false
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		c.note("data", warning, "chmod 700 "+quote(dir)+" (the next start does it)", "others may look into %s, which has keys in it: its mode is %04o", dir, mode)
		return true
	}
	c.note("data", fine, "", "%s", dir)
	return true
}

// space checks how much is free.
func (c *checkup) space() {
	dir := c.app.Data
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		c.note("disk", failed, "", "%s: %v", dir, err)
		return
	}
	free, all := int64(st.Bavail)*st.Bsize, int64(st.Blocks)*st.Bsize
	if c.flags.Database != "" {
		c.scratch(free, all)
		return
	}
	found := fmt.Sprintf("%s of %s are free, of which imports leave %s", size(free), size(all), size(int64(c.flags.Reserve)))
	switch reserve := int64(c.flags.Reserve); {
	case free <= reserve:
		c.note("disk", failed, "free space there, delete snapshots and run diskport gc, or choose a smaller --reserve", "%s: nothing can be imported", found)
	case free < 2*reserve || free < all/20:
		c.note("disk", warning, "free space there, or delete snapshots and run diskport gc", "%s", found)
	default:
		c.note("disk", fine, "", "%s", found)
	}
}

// scratch checks how much is free where one of many nodes unpacks images. Nothing else needs
// room there.
func (c *checkup) scratch(free, all int64) {
	const mend = "free space there, or name a folder with more room with --data: what is in it need not be kept"
	reserve := int64(c.flags.Reserve)
	found := fmt.Sprintf("%s of %s are free; images that have to be unpacked to be read, two at a time, take what is in them and leave %s. Blocks and all other images take none",
		size(free), size(all), size(reserve))
	if quota := int64(c.flags.QuotaScratch); quota > 0 {
		found += fmt.Sprintf("; --quota-scratch lets them take %s", size(quota))
	}
	if free < 2*reserve {
		c.note("disk", warning, mend, "%s", found)
		return
	}
	c.note("disk", fine, "", "%s", found)
}

// certificate checks that of a service that speaks https.
func (c *checkup) certificate() {
	text, err := os.ReadFile(filepath.Join(c.app.Data, certificateFile))
	leaf, _ := certificates(text)
	if err != nil || leaf == nil {
		return
	}
	const mend = "renew the file that --tls-cert names; the service shows it from the next connection on"
	switch left := time.Until(leaf.NotAfter); {
	case left <= 0:
		c.note("certificate", failed, mend, "it ended %s", leaf.NotAfter.Format(time.DateTime))
	case left < 14*24*time.Hour:
		c.note("certificate", warning, mend, "it ends %s", leaf.NotAfter.Format(time.DateTime))
	default:
		c.note("certificate", fine, "", "good until %s", leaf.NotAfter.Format(time.DateOnly))
	}
}

// port checks that a service could listen where the settings say.
func (c *checkup) port() {
	listen := "127.0.0.1:4580"
	if given := os.Getenv(envPrefix + "LISTEN"); given != "" {
		listen = given
	} else if given := c.app.file["listen"]; len(given) > 0 {
		listen = given[0]
	}
	l, err := net.Listen("tcp", listen) //nolint:noctx // it is closed at once
	if err != nil {
		c.note("port", warning, "stop what listens there, or give diskport serve another address with --listen", "diskport serve could not listen: %v", err)
		return
	}
	_ = l.Close() // nobody has connected
	c.note("port", fine, "", "diskport serve could listen on %s", listen)
}

// maxSkew is what signatures allow clocks to differ by, and nearSkew what is near it.
const (
	maxSkew  = 15 * time.Minute
	nearSkew = time.Minute
)

// clock compares the clocks of service and this machine.
func (c *checkup) clock(ctx context.Context, endpoint string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(endpoint, "/")+"/-/live", nil)
	if err != nil {
		c.note("clock", failed, "name it as http://HOST:PORT", "%v", err)
		return
	}
	before := time.Now()
	resp, err := c.app.dataHTTP().Do(req)
	if err != nil {
		c.note("clock", warning, "", "the service does not answer: %v", withoutURL(err))
		return
	}
	_ = resp.Body.Close() // it is not read
	there, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		c.note("clock", warning, "", "the service does not tell the time")
		return
	}
	switch skew := there.Sub(before).Abs().Truncate(time.Second); {
	case skew >= maxSkew:
		c.note("clock", failed, "set the clocks, by NTP for example", "it differs from the service's by %s, and every signature is refused", skew)
	case skew >= nearSkew:
		c.note("clock", warning, "set the clocks, by NTP for example", "it differs from the service's by %s", skew)
	default:
		c.note("clock", fine, "", "as the service's")
	}
}

// withoutURL is the cause of a failed request.
func withoutURL(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// parts checks what a service consists of.
func (c *checkup) parts(ctx context.Context, s *session) {
	h, err := s.Health(ctx)
	switch {
	case err != nil:
		c.note("database", failed, "see that --endpoint is the address of a Diskport", "%v", err)
	case h.Status == "down":
		c.note("database", failed, "see that --database can be reached from the service, and its log", "it does not answer")
	default:
		c.note("database", fine, "", "it answers")
	}
	switch h.Status {
	case "full":
		c.note("store", failed, "", "%s", spaceState(h))
	case "stuck":
		c.note("store", failed, "restart the service", "no image is looked into any more, since too many decoders did not come to their end")
	}
	if _, err := s.Stats(ctx); err != nil {
		c.note("store", warning, "", "%s", explain(ctx, err))
	} else if h.Status == "ok" {
		c.note("store", fine, "", "it answers")
	}
	if h.Services["s3"] == "elsewhere" {
		c.note("S3", fine, "", "none of its own: nodes import from the S3 that --source-endpoint names")
	} else if err := s.CheckBuckets(ctx); err != nil {
		c.note("S3", failed, "", "%s", explain(ctx, err))
	} else {
		c.note("S3", fine, "", "it answers")
	}
	c.key(ctx, s)
	c.role(ctx, s)
}

// key checks the key that encrypted snapshots have unless another one is named.
func (c *checkup) key(ctx context.Context, s *session) {
	const def = "alias/aws/ebs"
	err := s.CheckKey(ctx, def)
	switch {
	case client.IsNotFound(err):
		c.note("KMS", fine, "", "%s is made when it is first used", def)
	case err != nil:
		c.note("KMS", failed, "enable it with aws kms enable-key, or name another one with --kms-key", "%s", explain(ctx, err))
	default:
		c.note("KMS", fine, "", "nothing keeps %s from being used", def)
	}
}

// role checks that AWS clients could import.
func (c *checkup) role(ctx context.Context, s *session) {
	err := s.CheckRole(ctx, vmimport)
	switch {
	case client.IsNotFound(err):
		c.note("role", warning, "diskport role", "there is no role %s, which ImportSnapshot needs unless a call names another; diskport import needs none", vmimport)
	case err != nil:
		c.note("role", warning, "", "%s", explain(ctx, err))
	default:
		c.note("role", fine, "", "%s is there", vmimport)
	}
}
