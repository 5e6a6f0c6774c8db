package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// storedBytes is what an import wrote.
var storedBytes = quantity{"stored", "bytes", true}

// imported is the part of import --json that is used here.
type imported struct {
	Status      string
	Reason      string
	SnapshotID  string
	StoredBytes int64
	Blocks      struct{ Data int64 }
}

// importing is an import as a side of a comparison.
type importing struct {
	b       *bench
	image   string
	want    string   // the raw disk that it must become
	data    string   // data directory
	service *service // instead of it
	args    []string
	last    imported
}

// imports returns an import of a file of the data set into the scratch folder.
func (b *bench) imports(ctx context.Context, image, want string, args ...string) (*importing, error) {
	path, err := b.image(ctx, image)
	if err != nil {
		return nil, err
	}
	raw, err := b.image(ctx, want)
	return &importing{b: b, image: path, want: raw, data: filepath.Join(b.scratch, "data"), args: args}, err
}

// run imports durably.
func (i *importing) run(ctx context.Context) (cost, error) {
	args, env, dir := []string{"import", "--json"}, keyEnv, i.data
	if i.service != nil {
		env, dir = i.service.env, i.service.data
	} else {
		args = append(args, "--data", i.data)
	}
	args = append(append(args, i.args...), i.image)
	var out []byte
	import1 := func() (c cost, err error) {
		c, out, err = durable(ctx, dir, env, i.b.bin, args...)
		return c, err
	}
	var c cost
	var err error
	if i.service != nil {
		c, err = i.service.measure(import1)
	} else {
		c, err = import1()
	}
	if err != nil {
		return c, err
	}
	i.last = imported{}
	if err := json.Unmarshal(out, &i.last); err != nil {
		return c, fmt.Errorf("reading what import said: %w", err)
	}
	if i.last.Status != "completed" {
		return c, fmt.Errorf("the import is %s: %s", i.last.Status, i.last.Reason)
	}
	i.b.peak = max(i.b.peak, c.peak)
	return c, nil
}

// check compares the snapshot with the disk.
func (i *importing) check(ctx context.Context) error {
	args, env := []string{"export", i.last.SnapshotID, "-"}, keyEnv
	if i.service != nil {
		env = i.service.env
	} else {
		args = append(args, "--data", i.data)
	}
	return i.b.sameExport(ctx, env, i.want, args...)
}

// sameExport compares what an export writes to its standard output with a raw disk.
func (b *bench) sameExport(ctx context.Context, env []string, want string, args ...string) error {
	cmd := exec.CommandContext(ctx, b.bin, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = nil
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := sameContent(out, want); err != nil {
		_ = cmd.Process.Kill() // the comparison is what failed
		_ = cmd.Wait()
		return fmt.Errorf("the snapshot is wrong: %w", err)
	}
	return cmd.Wait()
}

func (i *importing) side(name string) side { return side{name: name, run: i.run, check: i.check} }

// by is a peer as a side: a command that makes $OUT of $IN, and may use $TMP. Its result is
// made durable and compared.
func (b *bench) by(name, in, want, script string, env ...string) side {
	out := filepath.Join(b.scratch, "out.raw")
	env = append([]string{"IN=" + in, "OUT=" + out, "TMP=" + filepath.Join(b.scratch, "fetched")}, env...)
	return side{
		name: name,
		run: func(ctx context.Context) (cost, error) {
			c, _, err := durable(ctx, b.scratch, env, "sh", "-ec", script)
			return c, err
		},
		check: func(context.Context) error { return sameFile(out, want) },
	}
}

// convert is how qemu-img makes a raw disk of $IN.
func convert(format, in string) string {
	return "qemu-img convert -f " + format + " -O raw " + in + " $OUT"
}

// against notes how the second side compares with the first.
func (r *result) against() {
	r.set(faster, r.sides[0].Wall/r.sides[1].Wall)
	r.set(cpuShare, r.sides[1].CPU/r.sides[0].CPU)
}

// local compares the import of a local file with qemu-img.
func local(name, format string) func(*bench, context.Context) (result, error) {
	return func(b *bench, ctx context.Context) (result, error) {
		return b.compareImport(ctx, name, "disk.raw", "qemu-img", convert(format, "$IN"))
	}
}

// packed compares the import of a packed raw disk with a tool.
func packed(name, tool string) func(*bench, context.Context) (result, error) {
	return func(b *bench, ctx context.Context) (result, error) {
		return b.compareImport(ctx, name, "packed.raw", tool, tool+" $IN > $OUT")
	}
}

// compareImport compares the import of a file with a peer's script.
func (b *bench) compareImport(ctx context.Context, image, want, peer, script string) (result, error) {
	ours, err := b.imports(ctx, image, want)
	if err != nil {
		return result{}, err
	}
	r, err := b.compare(ctx, b.by(peer, ours.image, ours.want, script), ours.side("diskport import"))
	if err != nil {
		return r, err
	}
	r.against()
	r.set(storedBytes, float64(ours.last.StoredBytes))
	return r, nil
}

// fromS3 compares the import of an object with what people do by hand, and the whole way of
// a user, upload and import, with a copy and a conversion. Each round has a new service.
func (b *bench) fromS3(ctx context.Context) (r result, err error) {
	ours, err := b.imports(ctx, "disk.vmdk", "disk.raw")
	if err != nil {
		return r, err
	}
	file := ours.image
	ours.image = "s3://bench/disk.vmdk"
	var s *service
	defer func() {
		if s != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	up := side{name: "aws s3 cp, up"}
	up.prepare = func(ctx context.Context) (err error) {
		if s != nil {
			if err := s.stop(); err != nil {
				return err
			}
		}
		if s, err = b.serve(ctx); err != nil {
			return err
		}
		ours.service = s
		return s.shell(ctx, s.aws("mb", "s3://bench"))
	}
	up.run = func(ctx context.Context) (cost, error) {
		return s.measure(func() (cost, error) {
			c, _, err := durable(ctx, s.data, s.env, "sh", "-ec", s.aws("cp", "--only-show-errors", file, "s3://bench/disk.vmdk"))
			return c, err
		})
	}
	down := b.by("aws s3 cp, down, + qemu-img", "", ours.want, "")
	down.run = func(ctx context.Context) (cost, error) { return b.byHand(ctx, s, "disk.vmdk", "vmdk") }
	r, err = b.compare(ctx,
		b.by("cp + qemu-img", file, ours.want, "cp $IN $TMP && "+convert("vmdk", "$TMP")),
		up, ours.side("diskport import s3://"), down)
	if err != nil {
		return r, err
	}
	r.set(faster, r.sides[3].Wall/r.sides[2].Wall)
	r.set(wholeWay, r.sides[0].Wall/(r.sides[1].Wall+r.sides[2].Wall))
	return r, nil
}

// byHand fetches an object of a service and converts it.
func (b *bench) byHand(ctx context.Context, s *service, key, format string) (cost, error) {
	return s.measure(func() (cost, error) {
		side := b.by("", "", "", s.aws("cp", "--only-show-errors", "s3://bench/"+key, "$TMP")+" && "+convert(format, "$TMP"), s.env...)
		return side.run(ctx)
	})
}

// rawFromS3 does so for a raw disk, which is uploaded once, and fetches it with curl too.
func (b *bench) rawFromS3(ctx context.Context) (r result, err error) {
	ours, err := b.imports(ctx, "disk.raw", "disk.raw")
	if err != nil {
		return r, err
	}
	s, err := b.serve(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.shell(ctx, s.aws("mb", "s3://bench")+" && "+s.aws("cp", "--only-show-errors", ours.image, "s3://bench/disk.raw")); err != nil {
		return r, err
	}
	presigned, err := s.presign(ctx, "bench", "disk.raw")
	if err != nil {
		return r, err
	}
	ours.image, ours.service = "s3://bench/disk.raw", s
	mine := ours.side("diskport import s3://")
	mine.prepare = func(ctx context.Context) error { // otherwise the second import would store nothing
		if ours.last.SnapshotID == "" {
			return nil
		}
		return s.shell(ctx, fmt.Sprintf("%q delete %s && %[1]q gc", b.bin, ours.last.SnapshotID))
	}
	hand := b.by("aws s3 cp, down, + qemu-img", "", ours.want, "")
	hand.run = func(ctx context.Context) (cost, error) { return b.byHand(ctx, s, "disk.raw", "raw") }
	curl := side{name: "curl to /dev/null", run: func(ctx context.Context) (cost, error) {
		return s.measure(func() (cost, error) {
			c, _, err := timed(ctx, nil, "curl", "-sf", "--noproxy", "*", "-o", "/dev/null", presigned)
			return c, err
		})
	}}
	r, err = b.compare(ctx, hand, mine, curl)
	if err != nil {
		return r, err
	}
	if most := int64(len(b.blocks)) * blockSize; ours.last.StoredBytes < most/2 {
		return r, fmt.Errorf("the last import stored %d bytes; the snapshot before it was not freed", ours.last.StoredBytes)
	}
	r.set(faster, r.sides[0].Wall/r.sides[1].Wall)
	r.set(overCurl, r.sides[1].Wall/r.sides[2].Wall)
	return r, nil
}

// again imports a disk and then its second version.
func again(first, second string) func(*bench, context.Context) (result, error) {
	return func(b *bench, ctx context.Context) (result, error) {
		one, err := b.imports(ctx, first, "disk.raw")
		if err != nil {
			return result{}, err
		}
		two, err := b.imports(ctx, second, "v2.raw")
		if err != nil {
			return result{}, err
		}
		more := two.side("version 2")
		more.continues = true
		r, err := b.compare(ctx, one.side("version 1"), more)
		if err != nil {
			return r, err
		}
		r.set(newBytes, 100*float64(two.last.StoredBytes)/float64(one.last.StoredBytes))
		r.set(againShare, r.sides[1].Wall/r.sides[0].Wall)
		return r, nil
	}
}

// bare imports large disks of which few blocks are not all zeros, which is all that there is to
// compare.
func bare(blocks int64, images ...string) func(*bench, context.Context) (result, error) {
	return func(b *bench, ctx context.Context) (result, error) {
		var sides []side
		for _, name := range images {
			ours, err := b.imports(ctx, name, "disk.raw")
			if err != nil {
				return result{}, err
			}
			s := ours.side(name)
			s.check = func(context.Context) error {
				if ours.last.Blocks.Data != blocks {
					return fmt.Errorf("the snapshot has %d blocks, not %d", ours.last.Blocks.Data, blocks)
				}
				return nil
			}
			sides = append(sides, s)
		}
		r, err := b.compare(ctx, sides...)
		for _, s := range r.sides {
			r.set(slowest, max(r.values[slowest], s.Wall))
		}
		return r, err
	}
}

// encrypted compares imports with and without encryption.
func (b *bench) encrypted(ctx context.Context) (result, error) {
	var sides []side
	for _, image := range []string{"disk.raw", "disk.vmdk"} {
		for _, args := range [][]string{nil, {"--encrypted"}} {
			ours, err := b.imports(ctx, image, "disk.raw", args...)
			if err != nil {
				return result{}, err
			}
			sides = append(sides, ours.side(strings.Join(append([]string{image}, args...), " ")))
		}
	}
	r, err := b.compare(ctx, sides...)
	if err != nil {
		return r, err
	}
	r.set(encRaw, r.sides[1].Wall/r.sides[0].Wall)
	r.set(encVMDK, r.sides[3].Wall/r.sides[2].Wall)
	return r, nil
}

// memory says what the imports so far took, and has one service do four at once.
func (b *bench) memory(ctx context.Context) (r result, err error) {
	s, err := b.serve(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.shell(ctx, s.aws("mb", "s3://bench")); err != nil {
		return r, err
	}
	images := []string{"disk.vmdk", "disk.zlib.qcow2", "v2.vmdk", "disk.zstd.qcow2"}
	for _, name := range images {
		path, err := b.image(ctx, name)
		if err != nil {
			return r, err
		}
		if err := s.shell(ctx, s.aws("cp", "--only-show-errors", path, "s3://bench/"+name)); err != nil {
			return r, err
		}
	}
	c, err := s.measure(func() (cost, error) {
		return cost{wall: 1}, together(len(images), func(i int) error {
			_, _, err := timed(ctx, s.env, b.bin, "import", "s3://bench/"+images[i])
			return err
		})
	})
	if err != nil {
		return r, err
	}
	if b.peak > 0 {
		r.set(oneImport, float64(b.peak)/mib)
	}
	r.set(fourImports, float64(c.peak)/mib)
	return r, nil
}

// backgroundRate is at which the service rewrites packs by itself.
const backgroundRate = "16MiB"

// besideCompaction compares imports into a service that rewrites packs meanwhile, at
// its rate in the background, with imports into one that does nothing else. What it
// rewrites is the same disk, encrypted, so that nothing is found to be stored already.
func (b *bench) besideCompaction(ctx context.Context) (result, error) {
	quiet, err := b.busyImport(ctx, "does nothing else", false)
	if err != nil {
		return result{}, err
	}
	busy, err := b.busyImport(ctx, "compacts", true)
	if err != nil {
		return result{}, err
	}
	r, err := b.compare(ctx, quiet, busy)
	if err == nil {
		r.against()
	}
	return r, err
}

func (b *bench) busyImport(ctx context.Context, name string, compacts bool) (side, error) {
	ours, err := b.imports(ctx, "disk.raw", "disk.raw")
	if err != nil {
		return side{}, err
	}
	raw := ours.image
	var kill context.CancelFunc
	var ended chan error // of the compaction
	prepare := func(ctx context.Context) error {
		s, err := b.serve(ctx, "--compact-rate", "0")
		if err != nil {
			return err
		}
		ours.service = s
		if _, _, err := timed(ctx, s.env, b.bin, "import", "--encrypted", raw); err != nil {
			return errors.Join(err, s.stop())
		}
		ctx, kill = context.WithCancel(ctx)
		ended = make(chan error, 1)
		if compacts {
			go func() {
				_, _, err := timed(ctx, s.env, b.bin, "compact", "--rate", backgroundRate)
				ended <- err
			}()
		}
		return nil
	}
	run := func(ctx context.Context) (cost, error) {
		c, err := ours.run(ctx)
		select {
		case cerr := <-ended:
			err = errors.Join(err, cerr, errors.New("the compaction ended before the import"))
			compacts = false
		default:
		}
		kill()
		if compacts {
			<-ended //nolint:errcheck // it was stopped
		}
		return c, errors.Join(err, ours.service.stop())
	}
	return side{name: name, prepare: prepare, run: run}, nil
}

// sinceBefore compares imports with those of the program that -before names.
func (b *bench) sinceBefore(ctx context.Context) (result, error) {
	if b.before == "" {
		return result{}, errors.New("-before names no program")
	}
	earlier := *b
	earlier.bin = b.before
	var sides []side
	for _, name := range []string{"disk.raw", "disk.vmdk"} {
		for _, of := range []*bench{&earlier, b} {
			ours, err := of.imports(ctx, name, "disk.raw")
			if err != nil {
				return result{}, err
			}
			sides = append(sides, ours.side(name+", "+map[bool]string{true: "now", false: "before"}[of == b]))
		}
	}
	return b.compare(ctx, sides...)
}
