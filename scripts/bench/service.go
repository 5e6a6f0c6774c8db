package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// service is a diskport serve for measurements over the wire.
type service struct {
	cmd      *exec.Cmd
	endpoint string
	data     string
	env      []string
}

// serve starts a service with more arguments.
func (b *bench) serve(ctx context.Context, args ...string) (*service, error) {
	const id, secret = "AKIABENCH00000000000", "bench-secret-bench-secret-bench-secret00"
	s := &service{data: filepath.Join(filepath.Dir(b.scratch), "service")}
	if err := os.RemoveAll(s.data); err != nil {
		return nil, err
	}
	args = append([]string{"serve", "--listen", "127.0.0.1:0", "--data", s.data, "--log-level", "error"}, args...)
	s.cmd = exec.CommandContext(ctx, b.bin, args...)
	s.cmd.Env = append(os.Environ(), "DISKPORT_ROOT_ACCESS_KEY_ID="+id, "DISKPORT_ROOT_SECRET_ACCESS_KEY="+secret)
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("diskport serve said nothing: %w", err)
	}
	s.endpoint = strings.TrimSpace(strings.TrimPrefix(line, "Listening on:"))
	s.env = []string{"AWS_ENDPOINT_URL=" + s.endpoint, "AWS_ACCESS_KEY_ID=" + id, "AWS_SECRET_ACCESS_KEY=" + secret,
		"AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true"}
	return s, nil
}

// stop ends the service and returns the most memory that it held, in bytes.
func (s *service) stop() int64 {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = s.cmd.Wait()
	_ = os.RemoveAll(s.data)
	if usage, ok := s.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		return usage.Maxrss << 10
	}
	return 0
}

func (s *service) aws(args ...string) string {
	return "/usr/bin/aws --endpoint-url " + s.endpoint + " s3 " + strings.Join(args, " ")
}

// fromS3 compares the import of an object with doing it by hand: fetch it, then
// convert it.
func (b *bench) fromS3(ctx context.Context) error {
	s, err := b.serve(ctx)
	if err != nil {
		return err
	}
	defer func() { fmt.Printf("  peak of the service      %d MiB\n", s.stop()/mib) }()
	setup := s.aws("mb", "s3://bench") + " && " + s.aws("cp", "--only-show-errors", b.disk("disk.vmdk"), "s3://bench/disk.vmdk")
	if _, _, err := timed(ctx, s.env, "sh", "-ec", setup); err != nil {
		return err
	}
	fetched := filepath.Join(b.scratch, "fetched")
	hand := b.qemu(s.aws("cp", "--only-show-errors", "s3://bench/disk.vmdk", fetched)+" &&", fetched, "vmdk")
	byHand := side{name: "aws s3 cp + qemu-img", run: func(ctx context.Context) (cost, error) {
		restore := setenv(s.env)
		defer restore()
		return hand.run(ctx)
	}}
	var last string
	ours := side{
		name: "diskport, embedded S3",
		prepare: func(ctx context.Context) error { // otherwise the second import would store nothing
			if last == "" {
				return nil
			}
			_, _, err := timed(ctx, s.env, "sh", "-ec", fmt.Sprintf("%q delete %s && %q gc", b.bin, last, b.bin))
			return err
		},
		run: func(ctx context.Context) (cost, error) {
			c, r, err := b.importImage(ctx, s.env, "s3://bench/disk.vmdk")
			last = r.SnapshotID
			return c, err
		},
	}
	return b.compare(ctx, "from the embedded S3, 4 GiB with 1.8 GB of data, vmdk", byHand, ours)
}

// setenv sets variables for commands to come, until restore is called.
func setenv(env []string) (restore func()) {
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		_ = os.Setenv(name, value)
	}
	return func() {
		for _, kv := range env {
			name, _, _ := strings.Cut(kv, "=")
			_ = os.Unsetenv(name)
		}
	}
}

// small measures a small image from the call to the end of its task.
func (b *bench) small(ctx context.Context) error {
	s, err := b.serve(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	fmt.Printf("\n16 MiB image, VMDK, from the call to completed\n")
	for range b.rounds {
		_, r, err := b.importImage(ctx, s.env, b.disk("small.vmdk"))
		if err != nil {
			return err
		}
		fmt.Printf("  %.3f s\n", r.Seconds)
	}
	return nil
}
