package ova_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha1"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/ova"
)

func find(object []byte, opts ova.Options) (*ova.Disk, error) {
	return ova.Find(bytes.NewReader(object), int64(len(object)), opts)
}

func text(name, data string) imagetest.Member {
	return imagetest.Member{Name: name, Data: []byte(data)}
}

func described(names ...string) imagetest.Member {
	return imagetest.Member{Name: "vm.ovf", Data: imagetest.OVF(names...)}
}

func bytesOf(t *testing.T, f diskimage.File) string {
	t.Helper()
	p, err := io.ReadAll(io.NewSectionReader(f.R, 0, f.Size))
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

func TestFind(t *testing.T) {
	ovf, disk := described("a.vmdk"), text("a.vmdk", "the disk")
	long := strings.Repeat("n", 180) + ".vmdk"
	mf := imagetest.Member{Name: "vm.mf", Data: imagetest.Manifest(ovf, disk, text("absent", ""))}
	gnu := func(h *tar.Header) { h.Format = tar.FormatGNU }
	for name, object := range map[string][]byte{
		"in order":        imagetest.Tar(ovf, mf, disk),
		"disk first":      imagetest.Tar(disk, mf, ovf),
		"no manifest":     imagetest.Tar(ovf, disk),
		"folder's prefix": imagetest.Tar(ovf, text("./a.vmdk", "the disk")),
		"size said":       imagetest.Tar(described(`a.vmdk ovf:size="8"`), disk),
		"no end":          imagetest.Tar(ovf, disk)[:4*512],
		"BSD's spelling":  imagetest.Tar(ovf, disk, text("x.mf", fmt.Sprintf("SHA1 (a.vmdk) = %x\r\nSHA512 (a.vmdk) = %X\n", sha1.Sum(disk.Data), sha512.Sum512(disk.Data)))),
		"long name, pax":  imagetest.Tar(described(long), text(long, "the disk")),
		"long name, GNU":  imagetest.Tar(described(long), imagetest.Member{Name: long, Data: []byte("the disk"), Header: gnu}),
	} {
		d, err := find(object, ova.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := bytesOf(t, d.File); got != "the disk" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// Members above 8 GiB have sizes in base 256 or in pax records.
func TestLargeMember(t *testing.T) {
	const size = 9 << 30
	for _, kind := range []tar.Format{tar.FormatGNU, tar.FormatPAX} {
		var head bytes.Buffer
		ovf := described("a.vmdk")
		head.Write(bytes.TrimRight(imagetest.Tar(ovf), "\x00"))
		head.Write(make([]byte, -head.Len()&511))
		w := tar.NewWriter(&head)
		if err := w.WriteHeader(&tar.Header{Name: "a.vmdk", Size: size, Typeflag: tar.TypeReg, Format: kind}); err != nil {
			t.Fatal(err)
		}
		object := imagetest.Patches{{Off: 0, Data: head.Bytes()}}
		d, err := ova.Find(object, int64(head.Len())+size+1024, ova.Options{})
		if err != nil || d.File.Size != size {
			t.Errorf("%v: got %+v, %v", kind, d, err)
		}
	}
}

func TestChoice(t *testing.T) {
	object := imagetest.Tar(described("a.vmdk", "b.vmdk"), text("a.vmdk", "A"), text("b.vmdk", "B"))
	var choice *ova.ChoiceError
	if _, err := find(object, ova.Options{}); !errors.As(err, &choice) || len(choice.Disks) != 2 || !strings.Contains(err.Error(), `"a.vmdk", "b.vmdk"`) {
		t.Errorf("no choice: got %v", err)
	}
	if _, err := find(object, ova.Options{Member: "c\x1b[2J"}); !errors.As(err, &choice) || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("a disk that is not there: got %v", err)
	}
	for _, member := range []string{"b.vmdk", "d1"} {
		d, err := find(object, ova.Options{Member: member})
		if err != nil || bytesOf(t, d.File) != "B" || bytesOf(t, d.With["a.vmdk"]) != "A" {
			t.Errorf("%s: got %+v, %v", member, d, err)
		}
	}
	object = imagetest.Tar(imagetest.Member{Name: "x.ovf", Data: imagetest.OVFText("", `<Disk ovf:diskId="d" ovf:capacity="5"/>`)})
	if _, err := find(object, ova.Options{}); !errors.As(err, &choice) || len(choice.Disks) != 0 {
		t.Errorf("no disk: got %v", err)
	}
}

func TestCapacity(t *testing.T) {
	for _, tt := range []struct {
		capacity, units string
		want            int64 // -1: refused
	}{
		{"5", "", 5}, {"5", "byte", 5}, {"3", "byte * 2^30", 3 << 30}, {"3", "byte*1024", 3072}, {"2", "GigaBytes", 2 << 30}, {"", "", 0},
		{"-1", "", -1}, {"1e30", "", -1}, {"1", "byte * 2^999", -1}, {"1", "byte * 2^-1", -1}, {"${size}", "", -1}, {"4611686018427387904", "byte * 2^40", -1},
		{"1", "byte * 0", -1}, {"1", "furlong", -1},
	} {
		disk := fmt.Sprintf(`<Disk ovf:diskId="d" ovf:fileRef="f" ovf:capacity="%s" ovf:capacityAllocationUnits="%s"/>`, tt.capacity, tt.units)
		ovf := imagetest.OVFText(`<File ovf:id="f" ovf:href="a"/>`, disk)
		d, err := find(imagetest.Tar(imagetest.Member{Name: "x.ovf", Data: ovf}, text("a", "x")), ova.Options{})
		var fault *diskimage.FormatError
		switch {
		case tt.want < 0:
			if !errors.As(err, &fault) || !strings.HasPrefix(fault.Field, "capacity") {
				t.Errorf("%q %q: got %v, want a fault of an attribute", tt.capacity, tt.units, err)
			}
		case err != nil || d.Capacity != tt.want:
			t.Errorf("%q %q: got %+v, %v", tt.capacity, tt.units, d, err)
		}
	}
}
