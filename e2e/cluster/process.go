package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Process is one run after another of the program as a service, on a data directory. Its
// methods are not for concurrent use.
type Process struct {
	Name string
	Data string // its data directory

	program string
	args    []string
	env     []string
	log     io.Writer

	endpoint string
	command  *exec.Cmd
	ended    chan error // what Wait returned
}

// Endpoint is where it listens, or listened last.
func (p *Process) Endpoint() string { return p.endpoint }

// Start starts it and returns once it is ready.
func (p *Process) Start(ctx context.Context) error {
	if err := os.RemoveAll(filepath.Join(p.Data, "endpoint")); err != nil {
		return err
	}
	p.command = exec.Command(p.program, append([]string{"serve", "--data", p.Data}, p.args...)...)
	p.command.Env, p.command.Stdout, p.command.Stderr = p.env, p.log, p.log
	// It has a process group of its own, so that Ctrl-C ends it when Close does, and not before.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		return fmt.Errorf("cluster: starting %s: %w", p.Name, err)
	}
	ended := make(chan error, 1)
	p.ended = ended
	go func(c *exec.Cmd) { ended <- c.Wait() }(p.command)
	for {
		if text, err := os.ReadFile(filepath.Join(p.Data, "endpoint")); err == nil && strings.HasSuffix(string(text), "\n") {
			if at := strings.TrimSpace(string(text)); at != p.endpoint { // the front reads it meanwhile
				p.endpoint = at
			}
			if ready(ctx, p.endpoint) {
				return nil
			}
		}
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("cluster: %s ended when it was to start: %w", p.Name, errors.Join(err, ctx.Err()))
		case <-ctx.Done():
			return fmt.Errorf("cluster: starting %s: %w", p.Name, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ready asks a service whether it is.
func ready(ctx context.Context, endpoint string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/-/ready", nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// Running reports whether it is there, frozen or not.
func (p *Process) Running() bool {
	if p.command == nil {
		return false
	}
	select {
	case err := <-p.ended:
		p.ended <- err
		return false
	default:
		return true
	}
}

// ID is that of the operating system, of its last run.
func (p *Process) ID() int { return p.command.Process.Pid }

// Kill ends it as a loss of power would, and returns when it is gone.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL) }

// Stop asks it to end and returns when it has.
func (p *Process) Stop() error { return p.end(syscall.SIGTERM) }

// Freeze stops it in the middle of whatever it does, until Thaw.
func (p *Process) Freeze() error { return p.signal(syscall.SIGSTOP) }

// Thaw lets it go on, as if no time had passed.
func (p *Process) Thaw() error { return p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) error {
	if err := p.command.Process.Signal(s); err != nil {
		return fmt.Errorf("cluster: sending %v to %s: %w", s, p.Name, err)
	}
	return nil
}

func (p *Process) end(s syscall.Signal) error {
	if !p.Running() {
		return nil
	}
	if err := p.signal(s); err != nil {
		return err
	}
	err := <-p.ended
	p.ended <- err
	if _, ok := errors.AsType[*exec.ExitError](err); ok && s == syscall.SIGKILL {
		return nil
	}
	return err
}
