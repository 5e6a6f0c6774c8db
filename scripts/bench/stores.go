package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// peerEnv keeps what backup programs write beside their repository in the scratch folder.
func (b *bench) peerEnv() []string {
	return []string{
		"BORG_BASE_DIR=" + filepath.Join(b.scratch, "borg"), "BORG_PASSPHRASE=", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes",
		"RESTIC_PASSWORD=bench", "REPO=" + b.repo(), "XDG_CACHE_HOME=" + filepath.Join(b.scratch, "cache"),
	}
}

func (b *bench) repo() string { return filepath.Join(b.scratch, "repo") }

// How the backup programs store a disk, with compression and without: borg in blocks as
// large as ours.
const (
	initBorg    = "borg init -e none $REPO"
	borg        = "borg create --compression %s --chunker-params fixed,524288 --files-cache disabled $REPO::a $IN"
	restoreBorg = "borg extract --stdout $REPO::a"

	initRestic    = "restic -q -r $REPO init --repository-version 2"
	restic        = "restic -q -r $REPO --no-cache backup --compression %s $IN"
	restoreRestic = "restic -q -r $REPO --no-cache dump latest $IN"
)

// backup is a backup program as a side, with an empty repository.
func (b *bench) backup(name, raw, create, script, restore string) side {
	env := append(b.peerEnv(), "IN="+raw)
	return side{
		name: name,
		prepare: func(ctx context.Context) error {
			_, _, err := timed(ctx, env, "sh", "-ec", create)
			return err
		},
		run: func(ctx context.Context) (cost, error) {
			c, _, err := durable(ctx, b.repo(), env, "sh", "-ec", script)
			return c, err
		},
		check: func(ctx context.Context) error {
			out := filepath.Join(b.scratch, "restored")
			if _, _, err := timed(ctx, env, "sh", "-ec", restore+" > "+out); err != nil {
				return err
			}
			return sameFile(out, raw)
		},
	}
}

// stores compares the import of a raw disk into an empty store with backup programs.
func (b *bench) stores(ctx context.Context) (result, error) {
	ours, err := b.imports(ctx, "disk.raw", "disk.raw")
	if err != nil {
		return result{}, err
	}
	r, err := b.compare(ctx,
		b.backup("borg", ours.image, initBorg, fmt.Sprintf(borg, "none"), restoreBorg),
		b.backup("restic", ours.image, initRestic, fmt.Sprintf(restic, "off"), restoreRestic),
		ours.side("diskport import"))
	if err != nil {
		return r, err
	}
	r.set(thanBorg, r.sides[0].Wall/r.sides[2].Wall)
	r.set(thanRestic, r.sides[1].Wall/r.sides[2].Wall)
	return r, nil
}

// storeSize compares what a disk takes in the stores, compressed, once.
func (b *bench) storeSize(ctx context.Context) (result, error) {
	ours, err := b.imports(ctx, "disk.raw", "disk.raw")
	if err != nil {
		return result{}, err
	}
	once := *b
	once.rounds = 1
	var sizes []float64
	measured := func(s side, dir string, after func(context.Context) error) side {
		check := s.check
		s.check = func(ctx context.Context) error {
			if after != nil {
				if err := after(ctx); err != nil {
					return err
				}
			}
			n, err := diskUse(dir)
			if err != nil {
				return err
			}
			sizes = append(sizes, float64(n))
			return check(ctx)
		}
		return s
	}
	r, err := once.compare(ctx,
		measured(b.backup("borg, zstd", ours.image, initBorg, fmt.Sprintf(borg, "zstd"), restoreBorg), b.repo(), nil),
		measured(b.backup("restic, format 2", ours.image, initRestic, fmt.Sprintf(restic, "auto"), restoreRestic), b.repo(), nil),
		measured(ours.side("diskport import, then compact"), ours.data, func(ctx context.Context) error { return b.compact(ctx, ours.data) }))
	if err != nil {
		return r, err
	}
	for i, name := range []string{"borg", "restic", "diskport"} {
		r.set(quantity{name, "MB", true}, sizes[i]/1e6)
	}
	r.set(storeSize, sizes[2]/min(sizes[0], sizes[1]))
	return r, nil
}

func (b *bench) compact(ctx context.Context, data string) error {
	_, _, err := timed(ctx, keyEnv, b.bin, "compact", "--data", data)
	return err
}

// diskUse returns how many bytes the files under dir take, without the ballast, which is
// there to be given up.
func diskUse(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "ballast" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			sum += st.Blocks * 512
		}
		return nil
	})
	return sum, err
}

// stored imports the standard disk into a data directory that outlives the sides, and
// compresses it if that is asked for. The caller removes the directory.
func (b *bench) stored(ctx context.Context, compressed bool) (*importing, error) {
	ours, err := b.imports(ctx, "disk.raw", "disk.raw")
	if err != nil {
		return nil, err
	}
	ours.data = b.beside("service")
	if err := os.RemoveAll(ours.data); err != nil {
		return nil, err
	}
	peak := b.peak
	if _, err := ours.run(ctx); err != nil {
		return nil, err
	}
	if b.peak = peak; compressed {
		return ours, b.compact(ctx, ours.data)
	}
	return ours, nil
}

// export compares writing a snapshot to a sparse raw file with converting the raw disk that
// it was made of.
func export(compressed bool) func(*bench, context.Context) (result, error) {
	return func(b *bench, ctx context.Context) (result, error) {
		ours, err := b.stored(ctx, compressed)
		if err != nil {
			return result{}, err
		}
		defer os.RemoveAll(ours.data)
		script := fmt.Sprintf("%q export --data %q %s $OUT", b.bin, ours.data, ours.last.SnapshotID)
		r, err := b.compare(ctx,
			b.by("qemu-img", ours.image, ours.want, convert("raw", "$IN")),
			b.by("diskport export", "", ours.want, script, keyEnv...))
		if err == nil {
			r.against()
		}
		return r, err
	}
}

// verify reads everything back.
func (b *bench) verify(ctx context.Context) (result, error) {
	ours, err := b.stored(ctx, false)
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(ours.data)
	r, err := b.compare(ctx, side{name: "diskport verify", run: func(ctx context.Context) (cost, error) {
		c, out, err := timed(ctx, keyEnv, b.bin, "verify", "--json", "--data", ours.data)
		if err == nil && !json.Valid(out) {
			err = fmt.Errorf("it said %q", out)
		}
		return c, err
	}})
	if err == nil {
		r.set(verifyRate, float64(len(b.blocks))*blockSize/r.sides[0].Wall/1e9)
	}
	return r, err
}
