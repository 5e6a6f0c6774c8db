package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Region is that of everything.
const Region = "us-east-1"

// Images is the bucket that images are imported from, on the S3 of the cluster.
const Images = "images"

const blocks = "blocks"

// Options say what a cluster is made of.
type Options struct {
	Program  string   // the binary, by its path
	Dir      string   // folder for everything
	Database string   // URL of an empty PostgreSQL database
	Nodes    int      // how many there are
	Listen   string   // address in front of them; empty: a free port
	Args     []string // further flags of all nodes

	// Log is where what a process says goes, and the front; nil: nowhere.
	Log func(process string) io.Writer
}

// Key is an access key.
type Key struct{ ID, Secret string }

// Node is one of the nodes. Each has cables of its own.
type Node struct {
	Process
	Database, Store *Link
}

// Cluster is many nodes that run. Its nodes may be started and ended one by one.
type Cluster struct {
	Root    Key // of the nodes
	S3      *Process
	Nodes   []*Node
	Front   *Front
	storage Key // of S3

}

// Start starts all of it. The caller closes it, also after an error.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	c := &Cluster{Root: newKey(), storage: newKey()}
	if err := c.start(ctx, o); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func newKey() Key { return Key{"AKIA" + rand.Text()[:16], rand.Text() + rand.Text()} }

func (c *Cluster) start(ctx context.Context, o Options) error {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	master := filepath.Join(o.Dir, "master.key")
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	if err := os.WriteFile(master, key, 0o600); err != nil {
		return err
	}
	c.S3 = o.process("s3", []string{"--listen", "127.0.0.1:0"}, []string{
		"DISKPORT_ROOT_ACCESS_KEY_ID=" + c.storage.ID, "DISKPORT_ROOT_SECRET_ACCESS_KEY=" + c.storage.Secret,
	})
	if err := c.S3.Start(ctx); err != nil {
		return err
	}
	// It comes back at the same address.
	c.S3.args = []string{"--listen", strings.TrimPrefix(c.S3.Endpoint(), "http://")}
	for _, bucket := range []string{blocks, Images} {
		if _, err := c.Storage().CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
			return err
		}
	}
	for i := range o.Nodes {
		n, err := c.newNode(o, fmt.Sprintf("node%d", i+1), master)
		if err != nil {
			return err
		}
		c.Nodes = append(c.Nodes, n)
		if err := n.Start(ctx); err != nil {
			return err
		}
		n.args = append(n.args, "--listen", strings.TrimPrefix(n.Endpoint(), "http://"))
	}
	listen := o.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	var err error
	var said io.Writer
	if o.Log != nil {
		said = o.Log("front")
	}
	c.Front, err = newFront(listen, c.endpoints, said)
	return err
}

// endpoints returns where the nodes listen, whether they run or not.
func (c *Cluster) endpoints() (list []string) {
	for _, n := range c.Nodes {
		list = append(list, n.Endpoint())
	}
	return list
}

func (o Options) process(name string, args, env []string) *Process {
	p := &Process{Name: name, Data: filepath.Join(o.Dir, name), program: o.Program, args: args, log: io.Discard}
	if o.Log != nil {
		p.log = o.Log(name)
	}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "DISKPORT_") && !strings.HasPrefix(kv, "AWS_") {
			p.env = append(p.env, kv)
		}
	}
	p.env = append(p.env, env...)
	return p
}

func (c *Cluster) newNode(o Options, name, master string) (*Node, error) {
	n := &Node{}
	database, target, err := through(o.Database)
	if err != nil {
		return nil, err
	}
	if n.Database, err = newLink(target[0], target[1]); err != nil {
		return nil, err
	}
	if n.Store, err = newLink("tcp", strings.TrimPrefix(c.S3.Endpoint(), "http://")); err != nil {
		return nil, errors.Join(err, n.Database.close())
	}
	database.Host = n.Database.Addr()
	store := "http://" + n.Store.Addr()
	args := []string{
		"--database", database.String(), "--master-key-file", master,
		"--store", "s3://" + blocks + "/cluster?endpoint=" + url.QueryEscape(store) + "&region=" + Region,
		"--source-endpoint", store, "--source-sts", "none", "--region", Region,
	}
	env := []string{"DISKPORT_ROOT_ACCESS_KEY_ID=" + c.Root.ID, "DISKPORT_ROOT_SECRET_ACCESS_KEY=" + c.Root.Secret}
	for _, what := range []string{"STORE", "SOURCE"} {
		env = append(env, "DISKPORT_"+what+"_ACCESS_KEY_ID="+c.storage.ID, "DISKPORT_"+what+"_SECRET_ACCESS_KEY="+c.storage.Secret)
	}
	args = append(args, o.Args...)
	n.Process = *o.process(name, append(args, "--listen", "127.0.0.1:0"), env)
	return n, nil
}

// through takes a PostgreSQL's URL apart: what a node is given, but for the host, and what is
// at the end of its link, a network and an address.
func through(database string) (*url.URL, [2]string, error) {
	u, err := url.Parse(database)
	if err != nil {
		return nil, [2]string{}, err
	}
	q := u.Query()
	target := [2]string{"tcp", u.Host}
	if socket := q.Get("host"); strings.HasPrefix(socket, "/") {
		target = [2]string{"unix", filepath.Join(socket, ".s.PGSQL.5432")}
		q.Del("host")
	}
	q.Set("sslmode", "disable") // it goes no further than this machine
	u.RawQuery = q.Encode()
	return u, target, nil
}

// Storage is a client of the S3 of the cluster.
func (c *Cluster) Storage() *s3.Client {
	return s3.New(s3.Options{
		Region: Region, BaseEndpoint: aws.String(c.S3.Endpoint()), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(c.storage.ID, c.storage.Secret, ""),
	})
}

// Close ends everything.
func (c *Cluster) Close() error {
	var errs []error
	if c.Front != nil {
		errs = append(errs, c.Front.close())
	}
	for _, n := range c.Nodes {
		if n.Running() {
			_ = n.Thaw()
			errs = append(errs, n.Stop())
		}
		errs = append(errs, n.Database.close(), n.Store.close())
	}
	if c.S3 != nil {
		errs = append(errs, c.S3.Stop())
	}
	return errors.Join(errs...)
}
