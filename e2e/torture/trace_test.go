package torture

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// traced are the system calls that change files, or make them durable. Anything among them
// that the recording does not understand is an error, lest a cut is too kind.
const traced = "open,openat,creat,write,pwrite64,writev,pwritev,pwritev2,truncate,ftruncate,fallocate,copy_file_range,sendfile,splice," +
	"rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,fsync,fdatasync,sync,syncfs,msync"

// recorder returns the command that records a program: strace, which writes a line before
// it lets the program go on, so the length of the recording is a clock.
func recorder(path string) []string {
	return []string{"strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", strconv.Itoa(16 << 20), "-e", "signal=none", "-e", "trace=" + traced, "-A", "-o", path}
}

// event is a system call that did something to a file or folder below the root.
type event struct {
	begin, end int64 // places in the recording
	call       string
	path, to   string // to: of rename and link
	data       []byte // of a write
	off, size  int64
	flags      string // of an open
}

// call is a line of a recording: a call with its strings, and files that it names.
type call struct {
	name    string
	strings []string
	files   []string
	rest    []string // other arguments
	result  int64
}

// parser reads a recording.
type parser struct {
	root  string
	begun map[string]begun // by process
	at    map[string]int64 // where the next write to a file goes
	out   []event
}

type begun struct {
	at   int64
	text []byte
}

// readTrace reads the events below root from a recording.
func readTrace(path, root string) ([]event, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := &parser{root: root, begun: map[string]begun{}, at: map[string]int64{}}
	lines := bufio.NewReaderSize(f, 1<<20)
	for off := int64(0); ; {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			if err := p.line(bytes.TrimSuffix(line, []byte("\n")), off, off+int64(len(line))); err != nil {
				return nil, fmt.Errorf("at byte %d of the recording: %w: %.300s", off, err, line)
			}
		}
		off += int64(len(line))
		if errors.Is(err, io.EOF) {
			return p.out, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (p *parser) line(line []byte, from, to int64) error {
	pid, text, _ := bytes.Cut(line, []byte(" "))
	text = bytes.TrimLeft(text, " ")
	switch {
	case bytes.HasPrefix(text, []byte("+++")), bytes.HasPrefix(text, []byte("---")):
		return nil
	case bytes.HasSuffix(text, []byte(" <unfinished ...>")):
		p.begun[string(pid)] = begun{from, bytes.Clone(bytes.TrimSuffix(text, []byte(" <unfinished ...>")))}
		return nil
	case bytes.HasPrefix(text, []byte("<... ")):
		_, rest, ok := bytes.Cut(text, []byte(" resumed>"))
		b, known := p.begun[string(pid)]
		if !ok || !known {
			return errors.New("a call ends that did not begin")
		}
		delete(p.begun, string(pid))
		from, text = b.at, append(b.text, rest...)
	}
	c, err := parseCall(text)
	if err != nil || c.result < 0 {
		return err
	}
	e, ok, err := p.event(c)
	if ok && err == nil {
		e.begin, e.end, e.call = from, to, c.name
		p.out = append(p.out, e)
	}
	return err
}

// parseCall parses name(arguments) = result.
func parseCall(text []byte) (c call, err error) {
	open := bytes.IndexByte(text, '(')
	end := bytes.LastIndex(text, []byte(") "))
	if open < 0 || end < open {
		return c, errors.New("no call")
	}
	c.name = string(text[:open])
	result := strings.Fields(strings.TrimLeft(string(text[end+1:]), " ="))
	if len(result) == 0 {
		return c, errors.New("no result")
	}
	number, _, _ := strings.Cut(result[0], "<")
	if number == "?" { // the process ended in it
		c.result = -1
		return c, nil
	}
	if c.result, err = strconv.ParseInt(number, 0, 64); err != nil {
		return c, err
	}
	args := text[open+1 : end]
	var plain []byte
	for i := 0; i < len(args); i++ {
		closing := map[byte]byte{'"': '"', '<': '>'}[args[i]]
		if closing == 0 || closing == '>' && i == 0 {
			plain = append(plain, args[i])
			continue
		}
		n := bytes.IndexByte(args[i+1:], closing)
		if n < 0 {
			return c, errors.New("a string without an end")
		}
		s, err := unhex(args[i+1 : i+1+n])
		if err != nil {
			return c, err
		}
		if i += n + 1; closing == '"' {
			c.strings = append(c.strings, s)
		} else {
			c.files = append(c.files, s)
		}
	}
	for arg := range strings.SplitSeq(string(plain), ",") {
		c.rest = append(c.rest, strings.TrimSpace(arg))
	}
	return c, nil
}

// unhex decodes \x2f\x74…; what is not written so, such as socket:[1], is as it is.
func unhex(b []byte) (string, error) {
	if !bytes.HasPrefix(b, []byte(`\x`)) {
		return string(b), nil
	}
	if len(b)%4 != 0 {
		return "", errors.New("a string of other characters")
	}
	digits := make([]byte, 0, len(b)/2)
	for i := 0; i < len(b); i += 4 {
		digits = append(digits, b[i+2], b[i+3])
	}
	s, err := hex.DecodeString(string(digits))
	return string(s), err
}

// below reports whether a path is the root or below it, and no shared memory: what SQLite
// has there means nothing to the next process.
func (p *parser) below(path string) bool {
	return (path == p.root || strings.HasPrefix(path, p.root+"/")) && !strings.HasSuffix(path, "-shm")
}

// event returns what a call did below the root.
func (p *parser) event(c call) (e event, ok bool, err error) {
	number := func(i int) int64 {
		n, perr := strconv.ParseInt(c.rest[i], 0, 64)
		if perr != nil && err == nil {
			err = perr
		}
		return n
	}
	named := len(c.strings) > 0 && !strings.Contains(c.name, "write")
	switch {
	case named && p.below(c.strings[0]):
		e.path = filepath.Clean(c.strings[0])
	case !named && len(c.files) > 0 && p.below(c.files[0]):
		e.path = c.files[0]
	default:
		return e, false, nil
	}
	switch c.name {
	case "open", "openat":
		e.flags = strings.Join(c.rest, " ")
		p.at[e.path] = 0
		return e, strings.Contains(e.flags, "O_CREAT") || strings.Contains(e.flags, "O_TRUNC"), nil
	case "write":
		e.data, e.off = []byte(c.strings[0])[:c.result], p.at[e.path]
		p.at[e.path] += c.result
	case "pwrite64":
		e.data, e.off = []byte(c.strings[0])[:c.result], number(len(c.rest)-1)
	case "pwritev":
		e.data, e.off = []byte(strings.Join(c.strings, ""))[:c.result], number(len(c.rest)-1)
	case "ftruncate":
		e.size = number(1)
	case "fallocate":
		if number(1) != 0 {
			return e, false, errors.New("a mode of fallocate that is not known here")
		}
		e.size = number(2) + number(3)
	case "rename", "renameat", "linkat":
		e.to = filepath.Clean(c.strings[1])
		if !p.below(e.to) {
			return e, false, errors.New("it leaves the folder")
		}
	case "mkdir", "mkdirat", "fsync", "fdatasync":
	case "unlink":
	case "unlinkat":
		if strings.Contains(strings.Join(c.rest, " "), "AT_REMOVEDIR") {
			e.flags = "AT_REMOVEDIR"
		}
	default:
		return e, false, errors.New("a call that is not known here")
	}
	return e, true, err
}
