package detect_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/ova"
)

var packers = map[string]string{"gzip": "gzip", "xz": "xz", "zstd": "zstd", "bzip2": "bzip2"}

func openWith(object []byte, opts detect.Options) (diskimage.Disk, error) {
	return detect.Open(bytes.NewReader(object), int64(len(object)), opts)
}

func ovaOf(disk []byte, attrs string) []byte { return ovaNamed("disk1.vmdk", disk, attrs) }

func ovaNamed(name string, disk []byte, attrs string) []byte {
	ovf := imagetest.Member{Name: "vm.ovf", Data: imagetest.OVF(name + attrs)}
	member := imagetest.Member{Name: name, Data: disk}
	return imagetest.Tar(ovf, imagetest.Member{Name: "vm.mf", Data: imagetest.Manifest(ovf, member)}, member)
}

// closes checks that a disk gives its scratch room back.
func closes(t *testing.T, d diskimage.Disk, scratch *imagetest.Scratch) {
	t.Helper()
	if err := d.(io.Closer).Close(); err != nil || scratch.Open() != 0 {
		t.Errorf("closing: %v, %d scratch files left", err, scratch.Open())
	}
}

// Every image in every container, declared or not, is the same disk.
func TestContainers(t *testing.T) {
	imagetest.Volume(t)
	images, want := fixtures()
	for format, image := range images {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			disk := "disk1." + format
			objects := map[string][]byte{"ova": ovaNamed(disk, image, ""), "ova/gzip": ovaNamed(disk, imagetest.Pack(t, image, "gzip", "-1"), ` ovf:compression="gzip"`)}
			for name, tool := range packers {
				objects[name] = imagetest.Pack(t, image, tool, "-1")
			}
			for container, object := range objects {
				outer, _, _ := strings.Cut(container, "/")
				for _, declared := range []string{"", format, outer} {
					if declared == "raw" {
						continue // the bytes as they are
					}
					var scratch imagetest.Scratch
					d, err := openWith(object, detect.Options{Scratch: &scratch, Format: declared})
					if err != nil {
						t.Errorf("%s in %s, declared %q: %v", format, container, declared, err)
						continue
					}
					if declared == "" {
						checkContents(t, d, nil, want)
					} else if d.Size() != int64(len(want)) {
						t.Errorf("%s in %s, declared %q: %d bytes", format, container, declared, d.Size())
					}
					if got := d.(diskimage.Describer).Describe(); got.Format != format || got.Container != container {
						t.Errorf("%s in %s: described as %+v", format, container, got)
					}
					closes(t, d, &scratch)
				}
			}
		})
	}
}

func TestSniffContainers(t *testing.T) {
	for name, tool := range packers {
		object := imagetest.Pack(t, []byte("x"), tool)
		got, err := detect.Sniff(bytes.NewReader(object), int64(len(object)))
		if err != nil || got.Format != name || !got.Supported {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
		_, err = openWith(object, detect.Options{})
		refused(t, err, diskimage.Unsupported, "scratch space")
		if d, err := open(object, "raw"); err != nil || len(d.(diskimage.Describer).Describe().Warnings) != 1 {
			t.Errorf("%s declared raw: got %v, %v, want a disk with a warning", name, d, err)
		}
	}
}

func TestContainersRefused(t *testing.T) {
	images, _ := fixtures()
	pack := func(p []byte) []byte { return imagetest.Pack(t, p, "gzip", "-1") }
	qcow := images["qcow2"]
	backed := bytes.Clone(qcow)
	copy(backed[8:], "\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x0b")
	copy(backed[512:], "/etc/passwd")
	for _, tt := range []struct {
		name, declared string
		object         []byte
		class          diskimage.Class
		text           string
	}{
		{"58 an OVA in an OVA", "", ovaOf(ovaOf(images["vmdk"], ""), ""), diskimage.Unsupported, "only one container"},
		{"58 a backed qcow2 in an OVA", "", ovaOf(backed, ""), diskimage.External, "backing"},
		{"58 gzip in an OVA, not said", "", ovaOf(pack(images["vmdk"]), ""), diskimage.Unsupported, "only one container"},
		{"58 gzip of gzip of gzip in an OVA", "", ovaOf(pack(pack(pack(images["vmdk"]))), ` ovf:compression="gzip"`), diskimage.Unsupported, "only one container"},
		{"105 gzip of gzip", "", pack(pack(images["raw"])), diskimage.Unsupported, "only one container"},
		{"105 gzip of tar of gzip", "", pack(ovaOf(pack(images["raw"]), "")), diskimage.Unsupported, "only one container"},
		{"declared VHD, gzip of a VMDK", "vhd", pack(images["vmdk"]), diskimage.NotFormat, "declared VHD"},
		{"declared OVA, gzip", "ova", pack(images["vmdk"]), diskimage.NotFormat, "looks like"},
		{"gzip of nothing", "", pack(nil), diskimage.NotFormat, "empty object"},
		{"gzip of zip", "", pack([]byte("PK\x03\x04 and so on")), diskimage.Unsupported, "zip"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var scratch imagetest.Scratch
			_, err := openWith(tt.object, detect.Options{Scratch: &scratch, Format: tt.declared})
			refused(t, err, tt.class, tt.text)
			if scratch.Open() != 0 {
				t.Errorf("%d scratch files left", scratch.Open())
			}
		})
	}
}

func TestCapacityOfOVA(t *testing.T) {
	images, want := fixtures()
	object := func(capacity string) []byte {
		ovf := imagetest.OVFText(`<File ovf:id="f" ovf:href="a"/>`, `<Disk ovf:fileRef="f" ovf:capacity="`+capacity+`"/>`)
		return imagetest.Tar(imagetest.Member{Name: "x.ovf", Data: ovf}, imagetest.Member{Name: "a", Data: images["vmdk"]})
	}
	_, err := openWith(object("1048575"), detect.Options{})
	refused(t, err, diskimage.Malformed, "1048575")
	d, err := openWith(object("1048577"), detect.Options{})
	checkContents(t, d, err, want)
	if w := d.(diskimage.Describer).Describe().Warnings; len(w) != 1 || !strings.Contains(w[0], "1048577") {
		t.Errorf("warnings: %q", w)
	}
}

func TestMember(t *testing.T) {
	images, want := fixtures()
	object := imagetest.Tar(imagetest.Member{Name: "x.ovf", Data: imagetest.OVF("a", "b")},
		imagetest.Member{Name: "a", Data: []byte("x")}, imagetest.Member{Name: "b", Data: images["vhdx"]})
	var choice *ova.ChoiceError
	if _, err := openWith(object, detect.Options{}); !errors.As(err, &choice) {
		t.Errorf("got %v, want a ChoiceError", err)
	}
	d, err := openWith(object, detect.Options{Member: "b"})
	checkContents(t, d, err, want)
}

// What a guest wrote to its first sector does not make its fixed VHD an archive.
func TestFixedVHDOfTar(t *testing.T) {
	guest := imagetest.Tar(imagetest.Member{Name: "x.ovf", Data: imagetest.OVF("a")})
	image := imagetest.VHD{Size: int64(len(guest)), Blocks: map[int64][]byte{0: guest}}.Build()
	_, err := open(image, "")
	refused(t, err, diskimage.Malformed, "VHD and tar")
	d, err := open(image, "vhd")
	checkContents(t, d, err, guest)
}

// flatDisk is the descriptor of a disk in two files of half of p each.
func flatDisk(p []byte) (text []byte, files map[string][]byte) {
	half := len(p) / 2
	lines := []string{
		fmt.Sprintf("RW %d FLAT \"disk-f001.vmdk\" 0", half/512), fmt.Sprintf("RW %d FLAT \"disk-f002.vmdk\" 0", (len(p)-half)/512),
	}
	return []byte(imagetest.VMDKDescriptor("twoGbMaxExtentFlat", lines...)), map[string][]byte{
		"disk-f001.vmdk": p[:half], "disk-f002.vmdk": p[half:],
	}
}

// An image of several files needs all of them, and no others.
func TestFiles(t *testing.T) {
	images, want := fixtures()
	text, files := flatDisk(want)
	with := imagetest.Files(files)
	for _, declared := range []string{"", "vmdk"} {
		d, err := openWith(text, detect.Options{With: with, Format: declared})
		checkContents(t, d, err, want)
	}
	var scratch imagetest.Scratch
	d, err := openWith(imagetest.Pack(t, text, "gzip"), detect.Options{With: with, Scratch: &scratch})
	checkContents(t, d, err, want)
	closes(t, d, &scratch)

	_, err = openWith(text, detect.Options{})
	var missing *diskimage.MissingFileError
	if !errors.As(err, &missing) || len(missing.Names) != 2 {
		t.Errorf("got %v, want 2 files missing", err)
	}
	one := imagetest.Files(map[string][]byte{"\x1b": nil})
	for name, tt := range map[string]struct {
		object []byte
		with   map[string]diskimage.File
	}{
		"an image of one file":    {images["qcow2"], one},
		"in gzip":                 {imagetest.Pack(t, images["vmdk"], "gzip"), one},
		"one too many":            {text, imagetest.Files(map[string][]byte{"disk-f001.vmdk": files["disk-f001.vmdk"], "disk-f002.vmdk": files["disk-f002.vmdk"], "z": nil})},
		"a descriptor that's cut": {text[:bytes.Index(text, []byte("f002"))-20], with},
		"an OVA":                  {ovaOf(images["vmdk"], ""), one},
	} {
		_, err := openWith(tt.object, detect.Options{Scratch: &scratch, With: tt.with})
		if err == nil || strings.Contains(err.Error(), "\x1b") || !errors.Is(err, detect.ErrUnusedFile) && !strings.Contains(name, "cut") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if scratch.Open() != 0 {
		t.Errorf("%d scratch files left", scratch.Open())
	}
}

// The files of a disk in an OVA are members of it.
func TestFilesInOVA(t *testing.T) {
	_, want := fixtures()
	text, files := flatDisk(want)
	ovf := imagetest.Member{Name: "vm.ovf", Data: imagetest.OVFText(
		`<File ovf:id="f" ovf:href="disk.vmdk"/><File ovf:id="g" ovf:href="disk-f001.vmdk"/><File ovf:id="h" ovf:href="disk-f002.vmdk"/>`,
		`<Disk ovf:diskId="d" ovf:fileRef="f"/>`,
	)}
	members := []imagetest.Member{ovf, {Name: "disk.vmdk", Data: text}}
	_, err := openWith(imagetest.Tar(members...), detect.Options{})
	refused(t, err, diskimage.External, "disk-f001.vmdk")
	for name, p := range files {
		members = append(members, imagetest.Member{Name: name, Data: p})
	}
	d, err := openWith(imagetest.Tar(members...), detect.Options{})
	checkContents(t, d, err, want)
	bad := imagetest.Member{Name: "vm.mf", Data: imagetest.Manifest(ovf, members[1], imagetest.Member{Name: "disk-f001.vmdk", Data: []byte("another")})}
	_, err = openWith(imagetest.Tar(append(members, bad)...), detect.Options{})
	refused(t, err, diskimage.Malformed, "disk-f001.vmdk")
}

// A DMG begins as its first chunk does, and a container of a DMG may end as the DMG
// does.
func TestPackedOrDMG(t *testing.T) {
	want := imagetest.Mixed(64<<10, 9)
	for tool, kind := range map[string]uint32{"bzip2": 0x80000006, "xz": 0x80000008} {
		image := imagetest.DMG{Size: 64 << 10, Type: kind, Chunks: map[int64][]byte{0: want}, Pack: func(p []byte) []byte {
			return imagetest.Pack(t, p, tool)
		}}.Build()
		d, err := open(image, "")
		checkContents(t, d, err, want)
		for name, object := range map[string][]byte{
			"zstd": imagetest.Pack(t, image, "zstd", "-1"), "gzip": imagetest.Pack(t, image, "gzip", "-1"), "ova": imagetest.Tar(imagetest.Member{Name: "x", Data: image}),
		} {
			if got, err := detect.Sniff(bytes.NewReader(object), int64(len(object))); err != nil || got.Format != name {
				t.Errorf("a DMG of %s in %s: sniffed as %+v, %v", tool, name, got, err)
			}
		}
	}
}

// A disk alone in a tar archive, compressed or not, and an OVA that is compressed.
func TestTars(t *testing.T) {
	images, want := fixtures()
	readme := imagetest.Member{Name: "README", Data: []byte("how to use it\n")}
	notes := imagetest.Member{Name: "metadata.json", Data: []byte("{}")}
	member := func(name, format string) imagetest.Member { return imagetest.Member{Name: name, Data: images[format]} }
	for name, c := range map[string]struct {
		object            []byte
		container, format string
	}{
		"Google's":         {imagetest.Pack(t, imagetest.Tar(member("disk.raw", "raw")), "gzip", "-1"), "gzip/tar", "raw"},
		"Debian's":         {imagetest.Pack(t, imagetest.Tar(member("./disk.raw", "raw")), "xz", "-1"), "xz/tar", "raw"},
		"Vagrant's":        {imagetest.Pack(t, imagetest.Tar(notes, readme, member("box.img", "qcow2")), "gzip", "-1"), "gzip/tar", "qcow2"},
		"a tar in zstd":    {imagetest.Pack(t, imagetest.Tar(member("a/disk.vhdx", "vhdx")), "zstd", "-1"), "zstd/tar", "vhdx"},
		"a tar":            {imagetest.Tar(readme, member("disk", "raw")), "tar", "raw"},
		"a compressed OVA": {imagetest.Pack(t, ovaOf(images["vmdk"], ""), "gzip", "-1"), "gzip/ova", "vmdk"},
	} {
		outer, _, _ := strings.Cut(c.container, "/")
		for _, declared := range []string{"", outer} {
			t.Run(name+" "+declared, func(t *testing.T) {
				var scratch imagetest.Scratch
				d, err := openWith(c.object, detect.Options{Scratch: &scratch, Format: declared})
				checkContents(t, d, err, want)
				if got := d.(diskimage.Describer).Describe(); got.Container != c.container || got.Format != c.format || len(got.Warnings) > 0 {
					t.Errorf("described as %+v", got)
				}
				closes(t, d, &scratch)
			})
		}
	}
	for name, c := range map[string]struct {
		object []byte
		text   string
	}{
		"no disk":                    {imagetest.Tar(readme, notes), "tar x"},
		"two disks":                  {imagetest.Tar(member("a.raw", "raw"), member("b.vhd", "vhd")), "choose one"},
		"a compressed disk in a tar": {imagetest.Tar(imagetest.Member{Name: "disk.raw.gz", Data: imagetest.Pack(t, want, "gzip", "-1")}), "tar x"},
		"a tar in a tar":             {imagetest.Tar(imagetest.Member{Name: "disk.raw", Data: imagetest.Tar(member("disk.raw", "raw"))}), "tar x"},
		"gzip of gzip of a tar":      {imagetest.Pack(t, imagetest.Pack(t, imagetest.Tar(member("disk.raw", "raw")), "gzip"), "gzip"), "unpack the outer one"},
	} {
		t.Run(name, func(t *testing.T) {
			var scratch imagetest.Scratch
			_, err := openWith(c.object, detect.Options{Scratch: &scratch})
			refused(t, err, diskimage.Unsupported, c.text)
			if scratch.Open() != 0 {
				t.Errorf("%d scratch files left", scratch.Open())
			}
		})
	}
	d, err := openWith(imagetest.Tar(member("a.raw", "raw"), member("b.vhd", "vhd")), detect.Options{Member: "b.vhd"})
	checkContents(t, d, err, want)
	old := imagetest.Tar(member("disk.raw", "raw")) // as before ustar
	clear(old[257:265])
	copy(old[148:156], "        ")
	sum := 0
	for _, b := range old[:512] {
		sum += int(b)
	}
	copy(old[148:], fmt.Sprintf("%06o\x00 ", sum))
	d, err = open(old, "")
	checkContents(t, d, err, want)
}
