package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/diskimage/ova"
	"github.com/diskport/diskport/internal/imports/scratch"
	"github.com/diskport/diskport/internal/work"
)

// imageFlags say how a local image is to be opened.
type imageFlags struct {
	Format  string
	With    []string
	Disk    string
	Scratch string
}

func (f *imageFlags) declare(fs *pflag.FlagSet) {
	fs.StringVar(&f.Format, "format", "", "Take the image as this `FORMAT` instead of detecting it.")
	pathsVar(fs, &f.With, "with", "Another `FILE` that the image consists of, as a split VMDK does: all of them, and no others. Can be repeated. Default: those beside the image that it names.")
	fs.StringVar(&f.Disk, "disk", "", "Which disk of an OVA that holds several: the `NAME` of its file.")
	pathVar(fs, &f.Scratch, "scratch", "Unpack compressed images in `DIR`. Default: the folder for temporary files.")
}

// image is a disk image in local files.
type image struct {
	diskimage.Disk
	files []*localFile
	size  int64 // of the image's own file, in bytes
}

// open opens a local file, with those that it needs, as a disk image. The caller
// closes it. Files that are unpacked for it have no names, so they are gone when
// the process ends.
func (f imageFlags) open(ctx context.Context, path string) (*image, error) {
	img, err := f.openGiven(ctx, path)
	var missing *diskimage.MissingFileError
	if !errors.As(err, &missing) || len(f.With) > 0 {
		return img, err
	}
	found, ferr := beside(path, missing.Names)
	if ferr != nil {
		return nil, errors.Join(err, ferr)
	}
	f.With = found
	return f.openGiven(ctx, path)
}

// beside returns the files of a folder that an image in it consists of, by their names. A
// name with a folder in it, and a file that is only linked there, is not followed: an image
// may come from anywhere, and what it names is read without asking.
func beside(image string, names []string) ([]string, error) {
	var found []string
	for _, name := range names {
		path := filepath.Join(filepath.Dir(image), name)
		info, err := os.Lstat(path)
		switch {
		case name != filepath.Base(name):
			err = fmt.Errorf("%q is in another folder", name)
		case err == nil && !info.Mode().IsRegular():
			err = fmt.Errorf("%s is no regular file", path)
		}
		if err != nil {
			return nil, fmt.Errorf("looking for the files of the image beside it: %w", err)
		}
		found = append(found, path)
	}
	return found, nil
}

// openGiven is open with the files of --with alone.
func (f imageFlags) openGiven(ctx context.Context, path string) (*image, error) {
	img := &image{}
	with, err := img.openFiles(path, f.With)
	if err == nil {
		own := img.files[0]
		err = img.decode(ctx, f, diskimage.File{R: own, Size: own.size}, path, with)
	}
	if err != nil {
		img.close()
		return nil, withAdvice(fmt.Errorf("opening %s: %w", path, err))
	}
	return img, nil
}

// decode opens the disk that is in a file, with the others that it needs.
func (i *image) decode(ctx context.Context, f imageFlags, own diskimage.File, path string, with map[string]diskimage.File) (err error) {
	dir := f.Scratch
	if dir == "" {
		dir = os.TempDir()
	}
	i.size = own.Size
	i.Disk, err = detect.Open(own.R, own.Size, detect.Options{
		Format: f.Format, Name: filepath.Base(path), With: with, Member: f.Disk, Scratch: scratch.Dir{Path: dir}, Interrupted: ctx.Err,
	})
	return err
}

// withImage runs fn with an image that is named on the command line: a local file, or an
// object of the service's S3, of which no more is read than is looked at.
func (f imageFlags) withImage(ctx context.Context, a *app, name string, fn func(path string, img *image) error) error {
	object, ok := strings.CutPrefix(name, "s3://")
	if !ok {
		path, err := f.oneFile(name)
		if err != nil {
			return err
		}
		img, err := f.open(ctx, path)
		if err != nil {
			return err
		}
		defer img.close()
		return fn(path, img)
	}
	bucket, key, _ := strings.Cut(object, "/")
	if bucket == "" || key == "" {
		return &usageError{fmt.Errorf("%s is not s3://BUCKET/KEY", name)}
	}
	if len(f.With) > 0 {
		return &usageError{errors.New("--with is about images in local files")}
	}
	return a.withLasting(ctx, func(s *session) error {
		o, err := s.OpenObject(ctx, bucket, key)
		if err != nil {
			return err
		}
		img := &image{}
		defer img.close()
		if err := img.decode(ctx, f, diskimage.File{R: o, Size: o.Size()}, key, nil); err != nil {
			return withAdvice(fmt.Errorf("opening %s: %w", name, err))
		}
		return fn(name, img)
	})
}

// oneFile returns the path of a local image.
func (f imageFlags) oneFile(name string) (string, error) {
	if name == "-" || strings.Contains(name, "://") {
		return "", &usageError{fmt.Errorf("%s: the image must be a file, or an object, s3://BUCKET/KEY; diskport import reads more", name)}
	}
	path, err := absolutePath(name)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("%w%s", err, similarFile(path))
	case err != nil:
		return "", err
	case info.IsDir():
		return "", &usageError{fmt.Errorf("%s is a folder: name the image in it", name)}
	}
	return path, nil
}

// guarded runs what looks into an image. A decoder that panics has a fault, and ends the
// command like other errors, with what is needed to find it.
func guarded(run func() error) error {
	err := work.Guard(run)
	if p, ok := errors.AsType[*work.PanicError](err); ok {
		return fmt.Errorf("%w\nThis is a fault of diskport, whatever the image is: please report it, with the image if you may.\n%s", err, p.Stack)
	}
	return err
}

// openFiles opens the image's own file and the others, and returns these by name.
func (i *image) openFiles(path string, others []string) (map[string]diskimage.File, error) {
	if _, err := i.openFile(path); err != nil {
		return nil, err
	}
	with := map[string]diskimage.File{}
	for _, other := range others {
		name := filepath.Base(other)
		if _, twice := with[name]; twice {
			return nil, &usageError{fmt.Errorf("two files called %s are given; an image names its files without their folders", name)}
		}
		opened, err := i.openFile(other)
		if err != nil {
			return nil, err
		}
		with[name] = diskimage.File{R: opened, Size: opened.size}
	}
	return with, nil
}

// openFile opens a file that is not open yet.
func (i *image) openFile(path string) (*localFile, error) {
	opened, err := openLocal(path)
	if err != nil {
		return nil, err
	}
	for _, f := range i.files {
		if os.SameFile(f.info, opened.info) {
			return nil, errors.Join(&usageError{fmt.Errorf("%s and %s are the same file", f.Name(), path)}, opened.Close())
		}
	}
	i.files = append(i.files, opened)
	return opened, nil
}

// close closes the files, and gives scratch room back.
func (i *image) close() {
	if c, ok := i.Disk.(io.Closer); ok {
		_ = c.Close() // scratch files have no names
	}
	for _, f := range i.files {
		_ = f.Close() // nothing was written
	}
}

// describe returns the image's description.
func (i *image) describe() diskimage.Description {
	if d, ok := i.Disk.(diskimage.Describer); ok {
		return d.Describe()
	}
	return diskimage.Description{Format: "raw", VirtualSize: i.Size()}
}

// withAdvice adds what to do about an image that could not be opened.
func withAdvice(err error) error {
	var missing *diskimage.MissingFileError
	var choice *ova.ChoiceError
	var full *scratch.FullError
	var not *detect.NotDiskError
	switch {
	case errors.As(err, &not) && not.Inside == "":
		return fmt.Errorf("%w\nTake its bytes as they are: --format raw", err)
	case errors.As(err, &missing):
		return fmt.Errorf("%w\nGive each of the image's files: --with FILE", err)
	case errors.As(err, &choice) && len(choice.Disks) > 0:
		return fmt.Errorf("%w\nChoose one: --disk NAME", err)
	case errors.As(err, &full):
		return fmt.Errorf("%w\nUnpack it where there is more room: --scratch DIR", err)
	}
	return err
}
