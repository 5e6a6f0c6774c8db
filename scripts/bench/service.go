package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/diskport/diskport/scripts/benchproc"
)

// The root key of every service that is measured.
const (
	keyID     = "AKIABENCH00000000000"
	secretKey = "bench-secret-bench-secret-bench-secret00"
	region    = "us-east-1"
)

// keyEnv gives the root key to a diskport.
var keyEnv = []string{"DISKPORT_ROOT_ACCESS_KEY_ID=" + keyID, "DISKPORT_ROOT_SECRET_ACCESS_KEY=" + secretKey}

// service is a diskport serve for measurements over the wire.
type service struct {
	cmd      *exec.Cmd
	endpoint string
	data     string
	env      []string // what clients need
}

// beside returns a path next to the scratch folder, for what outlives a side.
func (b *bench) beside(name string) string { return filepath.Join(filepath.Dir(b.scratch), name) }

// serve starts a service on an empty data directory, with more arguments.
func (b *bench) serve(ctx context.Context, args ...string) (*service, error) {
	data := b.beside("service")
	if err := os.RemoveAll(data); err != nil {
		return nil, err
	}
	return b.serveOn(ctx, data, args...)
}

// serveOn starts a service on a data directory, which goes with it.
func (b *bench) serveOn(ctx context.Context, data string, args ...string) (*service, error) {
	if err := forget(); err != nil {
		return nil, err
	}
	s := &service{data: data}
	args = append([]string{"serve", "--listen", "127.0.0.1:0", "--data", s.data, "--log-level", "error", "--request-rate", "-1"}, args...)
	s.cmd = exec.CommandContext(ctx, b.bin, args...)
	s.cmd.Env = append(os.Environ(), keyEnv...)
	var said bytes.Buffer
	s.cmd.Stderr = &said
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = s.cmd.Wait()
		return nil, fmt.Errorf("diskport serve did not say where it listens: %w: %s", err, said.Bytes())
	}
	s.endpoint = strings.TrimSpace(strings.TrimPrefix(line, "Listening on:"))
	s.env = []string{"AWS_ENDPOINT_URL=" + s.endpoint, "AWS_ACCESS_KEY_ID=" + keyID, "AWS_SECRET_ACCESS_KEY=" + secretKey,
		"AWS_DEFAULT_REGION=" + region, "AWS_EC2_METADATA_DISABLED=true"}
	return s, nil
}

// stop ends the service and removes its data.
func (s *service) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = s.cmd.Wait()
	return os.RemoveAll(s.data)
}

// aws is a command line of the AWS CLI.
func (s *service) aws(args ...string) string {
	return "/usr/bin/aws --endpoint-url " + s.endpoint + " s3 " + strings.Join(args, " ")
}

// shell runs a script with what clients need, and is not measured.
func (s *service) shell(ctx context.Context, script string) error {
	_, _, err := timed(ctx, s.env, "sh", "-ec", script)
	return err
}

// measure measures fn with what it takes the service: CPU is both's, memory the service's.
func (s *service) measure(fn func() (cost, error)) (cost, error) {
	if err := s.process().Forget(); err != nil { // its peak is what it has now
		return cost{}, err
	}
	before, err := s.process().CPU()
	if err != nil {
		return cost{}, err
	}
	c, err := fn()
	if err != nil {
		return c, err
	}
	after, err := s.process().CPU()
	c.cpu += after - before
	c.others = max(0, c.others-(after-before).Seconds()/c.wall.Seconds())
	peak, perr := s.process().Peak()
	c.peak = peak
	return c, errors.Join(err, perr)
}

func (s *service) process() benchproc.Process { return benchproc.Process(s.cmd.Process.Pid) }
