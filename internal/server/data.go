package server

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskport/diskport/internal/durable"
	"github.com/diskport/diskport/internal/failpoint"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/imports/scratch"
	"github.com/diskport/diskport/internal/space"
)

// dataDir is the locked data directory. Its path is absolute.
type dataDir struct {
	path string
	dir  *os.File // the directory, locked
	lock *os.File // a file in it that says which process holds it, locked
}

// LockedError reports a data directory on which a service runs already.
type LockedError struct {
	Dir     string
	Holder  string // "process 4711"
	Command bool   // it is a command's, and ends with that
}

func (e *LockedError) Error() string {
	return "server: " + e.Dir + " is in use by " + e.Holder
}

// openData makes and locks the directory, which is for its owner alone.
func openData(path string, holder holder) (*dataDir, error) {
	d, err := lockData(path, holder)
	if err == nil {
		err = d.whole()
	}
	if err != nil && d != nil {
		err = errors.Join(err, d.unlock())
	}
	return d, err
}

// restoringName is a file that is there until a restoration is complete.
const restoringName = "restoring"

// whole refuses a directory that a backup is only partly restored to.
func (d *dataDir) whole() error {
	_, err := os.Lstat(d.file(restoringName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = errors.New("a backup was being restored to it, and that did not come to its end: run the same diskport restore again, or remove it")
	}
	return fmt.Errorf("server: %s: %w", d.path, err)
}

// holder is what a process that locks a data directory is, as the lock says it. Both words are
// equally long.
type holder string

const (
	aService holder = "process"
	aCommand holder = "command" // whose service ends with it
)

// lockData is openData for a directory that may not be whole.
func lockData(path string, holder holder) (*dataDir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("server: data directory: %w", err)
	}
	err = makeFolder(path)
	if err == nil {
		err = othersFolder(os.Chmod(path, 0o700), path)
	}
	if err != nil {
		return nil, fmt.Errorf("server: data directory: %w", err)
	}
	d := &dataDir{path: path}
	if err := d.acquire(); err != nil {
		return nil, errors.Join(err, d.unlock())
	}
	if err := d.removeCutOff(); err != nil {
		return nil, errors.Join(fmt.Errorf("server: data directory: %w", err), d.unlock())
	}
	// The text is as long as the one before, and written over it, so that it takes no
	// room on a full disk. Without it the lock holds all the same.
	if err := writeAt0(d.lock, fmt.Sprintf("%s %-20d\n", holder, os.Getpid())); err != nil && !space.IsFull(err) {
		return nil, errors.Join(fmt.Errorf("server: data directory: %w", err), d.unlock())
	}
	return d, nil
}

// makeFolder makes a folder and those above it, durably.
func makeFolder(path string) error {
	st, err := os.Stat(path)
	parent := filepath.Dir(path)
	switch {
	case err == nil && !st.IsDir():
		return &fs.PathError{Op: "mkdir", Path: path, Err: unix.ENOTDIR}
	case err == nil:
		// It may have been made by a process that died before it was durable. Who may not
		// open a folder has not made anything in it.
		for ; parent != path; path, parent = parent, filepath.Dir(parent) {
			_ = durable.SyncFolder(parent)
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := makeFolder(parent); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return durable.SyncFolder(parent)
}

// othersFolder adds to the refusal to change the mode of a folder what to do: a volume of a
// container is often root's.
func othersFolder(err error, path string) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w: it is another user's, and has to be its own user's alone, since there are keys in it. Name a folder that is not there yet, such as %s, or give it to user %d",
		err, filepath.Join(path, "data"), os.Geteuid())
}

// acquire locks the directory itself, which is not removed by mistake, and the file
// in it that says which process holds it, since some file systems can lock only
// files.
func (d *dataDir) acquire() (err error) {
	if d.dir, err = os.Open(d.path); err != nil {
		return fmt.Errorf("server: data directory: %w", err)
	}
	if d.lock, err = os.OpenFile(d.file("lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return fmt.Errorf("server: data directory: %w", err)
	}
	if err := unix.Flock(int(d.dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return d.locked()
	}
	err = unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return d.locked()
	}
	if err != nil {
		return fmt.Errorf("server: locking %s: %w", d.lock.Name(), err)
	}
	held, herr := d.lock.Stat()
	named, nerr := os.Stat(d.lock.Name())
	if herr != nil || nerr != nil || !os.SameFile(held, named) {
		return fmt.Errorf("server: %s was replaced while it was being locked: start again", d.lock.Name())
	}
	return nil
}

func (d *dataDir) locked() error {
	line, _ := bufio.NewReader(d.lock).ReadString('\n')
	by := strings.TrimSpace(line)
	if by == "" {
		return &LockedError{Dir: d.path, Holder: "another process"}
	}
	pid, isCommand := strings.CutPrefix(by, string(aCommand))
	if isCommand {
		by = string(aService) + pid
	}
	return &LockedError{d.path, by, isCommand}
}

// unlock gives up what acquire got.
func (d *dataDir) unlock() error {
	var errs []error
	for _, f := range []*os.File{d.lock, d.dir} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

func writeAt0(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

func (d *dataDir) file(name string) string { return filepath.Join(d.path, name) }

// close unlocks the directory.
func (d *dataDir) close() error {
	_ = os.Remove(d.file("endpoint"))
	_ = os.Remove(d.file(handoverName))
	return d.unlock()
}

// announce writes where the service listens, and its own region, for other commands on
// this machine. The region stays there when the service ends.
func (d *dataDir) announce(endpoint, region string) error {
	err := writeNew(d.file("endpoint"), []byte(endpoint+"\n"), 0o644)
	line := []byte(region + "\n")
	if was, rerr := os.ReadFile(d.file("region")); rerr == nil && bytes.Equal(was, line) {
		return err
	}
	return errors.Join(err, writeNew(d.file("region"), line, 0o644))
}

// masterKey reads the key that wraps stored secrets, and those that wrapped them before,
// and makes it at the first start. A database without its key is refused, since none of
// its secrets could be opened.
func (d *dataDir) masterKey() (*secret.MasterKey, error) {
	keys, err := d.masterKeys()
	if err == nil && len(keys) == 0 {
		if _, err := os.Stat(d.file(databaseName)); err == nil {
			return nil, fmt.Errorf("server: %s is missing, without which %s cannot be read: put back a copy of it, of that time or later; nothing was changed", d.file(masterName), d.file(databaseName))
		}
		keys = [][]byte{make([]byte, secret.KeySize)}
		_, _ = rand.Read(keys[0]) // never fails
		err = writeNew(d.file(masterName), keys[0], 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("server: master key: %w", err)
	}
	return secret.NewMasterKey(keys[0], keys[1:]...)
}

// rootKey returns the root access key: the configured one, else the stored one,
// else a new one. The credentials file is written to match.
func (d *dataDir) rootKey(cfg Config) (id string, secret sigv4.Secret, err error) {
	id, s := cfg.RootAccessKeyID, cfg.RootSecretAccessKey
	if id == "" {
		id, s, err = d.readCredentials()
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return id, sigv4.NewSecret(s), err
		}
		id, s = newKey()
	}
	text := "[default]\naws_access_key_id = " + id + "\naws_secret_access_key = " + s + "\n"
	if there, err := os.ReadFile(d.file("credentials")); err == nil && string(there) == text {
		return id, sigv4.NewSecret(s), os.Chmod(d.file("credentials"), 0o600)
	}
	if err := writeNew(d.file("credentials"), []byte(text), 0o600); err != nil {
		return "", secret, fmt.Errorf("server: credentials: %w", err)
	}
	return id, sigv4.NewSecret(s), nil
}

func (d *dataDir) readCredentials() (id, secret string, err error) {
	b, err := os.ReadFile(d.file("credentials"))
	if err != nil {
		return "", "", fmt.Errorf("server: credentials: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(line, "=")
		switch strings.TrimSpace(k) {
		case "aws_access_key_id":
			id = strings.TrimSpace(v)
		case "aws_secret_access_key":
			secret = strings.TrimSpace(v)
		}
	}
	if id == "" || secret == "" {
		return "", "", fmt.Errorf("server: credentials: %s names no access key", d.file("credentials"))
	}
	return id, secret, nil
}

// newKey makes an access key of the shape that AWS's have.
func newKey() (id, secret string) {
	var b [42]byte
	_, _ = rand.Read(b[:]) // never fails
	return "AKIA" + base32.StdEncoding.EncodeToString(b[:10]), base64.RawStdEncoding.EncodeToString(b[12:])
}

// newFiles is what the names of files are made from that are to be put in place.
const newFiles = ".new-*"

// removeCutOff removes files that a process left that died in writeNew, some of which are
// secret, and those of scratch, which have names for a moment only.
func (d *dataDir) removeCutOff() error {
	entries, err := os.ReadDir(d.path)
	for _, e := range entries {
		if ok, _ := filepath.Match(newFiles, e.Name()); ok {
			err = errors.Join(err, os.RemoveAll(d.file(e.Name())))
		}
	}
	return errors.Join(err, scratch.Dir{Path: d.file("scratch")}.Clear())
}

// writeNew puts a file in place, durably and all at once.
func writeNew(path string, b []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), newFiles)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		failpoint.File(path, "durable, without its name")
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	failpoint.File(path, "named")
	return durable.SyncFolder(filepath.Dir(path))
}
