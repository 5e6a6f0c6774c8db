// Command cluster runs three nodes of Diskport on this machine, with the PostgreSQL that
// DISKPORT_TEST_POSTGRES names (scripts/with-postgres) and an S3, behind one address. With
// -demo it imports an image, kills a node in the middle of that, and compares what was
// stored; without it, it waits for Ctrl-C.
//
//	make cluster            make cluster-demo
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jackc/pgx/v5"

	"github.com/diskport/diskport/e2e/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

type options struct {
	cluster.Options
	demo bool
	mib  int64 // of the demo's image
}

func run(ctx context.Context) (err error) {
	var o options
	flag.StringVar(&o.Program, "program", "bin/diskport", "the `program`")
	flag.StringVar(&o.Listen, "listen", "127.0.0.1:4580", "`address` in front of the nodes")
	flag.IntVar(&o.Nodes, "nodes", 3, "how many `nodes`")
	flag.BoolVar(&o.demo, "demo", false, "import an image, and kill a node in the middle")
	flag.Int64Var(&o.mib, "mib", 1024, "MiB of the image of -demo")
	flag.Parse()
	if o.Program, err = filepath.Abs(o.Program); err != nil {
		return err
	}
	if o.Database = os.Getenv("DISKPORT_TEST_POSTGRES"); o.Database == "" {
		return errors.New("DISKPORT_TEST_POSTGRES names no PostgreSQL: run it by scripts/with-postgres")
	}
	if o.Dir, err = os.MkdirTemp("", "diskport-cluster-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.Dir)) }()
	if o.Database, err = newDatabase(ctx, o.Database); err != nil {
		return err
	}
	if o.demo {
		o.Args = []string{"--range-bytes", fmt.Sprint(64 << 20)} // so that a small image has ranges for all nodes
		o.Listen = "127.0.0.1:0"
	}
	logs := map[string]*os.File{}
	o.Log = func(process string) io.Writer {
		f, ferr := os.Create(filepath.Join(o.Dir, process+".log"))
		if ferr != nil {
			return io.Discard
		}
		logs[process] = f
		return f
	}
	c, err := cluster.Start(ctx, o.Options)
	if err != nil {
		for _, f := range logs {
			text, _ := os.ReadFile(f.Name())
			fmt.Fprintf(os.Stderr, "%s:\n%s", f.Name(), text)
		}
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	describe(c, o)
	if o.demo {
		return demo(ctx, c, o)
	}
	<-ctx.Done()
	fmt.Println("\nstopping all of it")
	return nil
}

// newDatabase makes a database on a server and returns its URL.
func newDatabase(ctx context.Context, server string) (string, error) {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	const name = "cluster"
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	return strings.Replace(server, "/postgres?", "/"+name+"?", 1), nil
}

func describe(c *cluster.Cluster, o options) {
	fmt.Printf("%d nodes, a PostgreSQL and an S3 in %s\n\n", len(c.Nodes), o.Dir)
	for _, n := range c.Nodes {
		fmt.Printf("  %s   %s   log: %s.log\n", n.Name, n.Endpoint(), n.Data)
	}
	fmt.Printf("  s3      %s   with a bucket %q for images, and the blocks\n", c.S3.Endpoint(), cluster.Images)
	fmt.Printf("\nOne address in front of them:\n\n")
	for _, kv := range environment(c) {
		fmt.Println("  export", kv)
	}
	fmt.Println()
}

// environment is what a client needs.
func environment(c *cluster.Cluster) []string {
	return []string{"AWS_ENDPOINT_URL=" + c.Front.Endpoint(), "AWS_ACCESS_KEY_ID=" + c.Root.ID, "AWS_SECRET_ACCESS_KEY=" + c.Root.Secret, "AWS_REGION=" + cluster.Region}
}

// demo imports an image while a node is killed.
func demo(ctx context.Context, c *cluster.Cluster, o options) error {
	path := filepath.Join(o.Dir, "disk.raw")
	want, err := makeImage(path, o.mib<<20)
	if err != nil {
		return err
	}
	image, err := os.Open(path)
	if err != nil {
		return err
	}
	defer image.Close()
	fmt.Printf("An image of %d MiB goes into the bucket %q.\n", o.mib, cluster.Images)
	if _, err := c.Storage().PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(cluster.Images), Key: aws.String("disk.raw"), Body: image}); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	diskport := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, o.Program, args...)
		cmd.Env, cmd.Stderr = append(os.Environ(), environment(c)...), os.Stderr
		return cmd
	}
	began := time.Now()
	fmt.Println("It is imported, by all nodes.")
	importing := diskport("import", "s3://"+cluster.Images+"/disk.raw", "--format", "raw")
	out, err := importing.StdoutPipe()
	if err != nil {
		return err
	}
	if err := importing.Start(); err != nil {
		return err
	}
	victim := c.Nodes[0]
	ranges, err := rangesOf(ctx, o.Database, victim)
	if err := errors.Join(err, victim.Kill()); err != nil {
		return errors.Join(err, importing.Process.Kill(), importing.Wait())
	}
	fmt.Printf("\n%s is killed after %.1f s (kill -9), when it is at %d ranges.\n", victim.Name, time.Since(began).Seconds(), ranges)
	text, err := io.ReadAll(out)
	if err := errors.Join(err, importing.Wait()); err != nil {
		return err
	}
	snapshot := strings.TrimSpace(string(text))
	fmt.Printf("%s is complete after %.1f s.\n", snapshot, time.Since(began).Seconds())

	sum := sha256.New()
	export := diskport("export", snapshot, "-")
	export.Stdout = sum
	if err := export.Run(); err != nil {
		return err
	}
	if same := [sha256.Size]byte(sum.Sum(nil)); same != want {
		return fmt.Errorf("what %s holds is not what was imported", snapshot)
	}
	fmt.Println("It was read back through the nodes that are left: every byte is the image's.")
	if err := victim.Start(ctx); err != nil {
		return err
	}
	fmt.Printf("%s is back.\n", victim.Name)
	return nil
}

// rangesOf waits until a node is at ranges of the import, however fast the machine is, and returns
// at how many.
func rangesOf(ctx context.Context, database string, n *cluster.Node) (ranges int, err error) {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }()
	for {
		var ended bool
		err := conn.QueryRow(ctx, `
			SELECT (SELECT COUNT(*) FROM units WHERE kind = 'range' AND owner LIKE '%/' || $1::text || '/%'),
				EXISTS (SELECT 1 FROM tasks WHERE ended <> 0)`, fmt.Sprint(n.ID())).Scan(&ranges, &ended)
		switch {
		case err != nil || ranges > 0:
			return ranges, err
		case ended:
			return 0, fmt.Errorf("the import ended before %s was at any of it: give it a larger image, -mib", n.Name)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// makeImage writes a file of random bytes and returns their hash.
func makeImage(path string, bytes int64) (sum [sha256.Size]byte, err error) {
	f, err := os.Create(path)
	if err != nil {
		return sum, err
	}
	h := sha256.New()
	_, err = io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8([32]byte{1}), bytes)
	return [sha256.Size]byte(h.Sum(nil)), errors.Join(err, f.Close())
}
