package hostile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
)

// Lines of descriptors.
const (
	descHead   = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\n"
	descKind   = "createType=\"monolithicSparse\"\n"
	descExtent = "RW 2048 SPARSE \"x.vmdk\"\n"
)

// described is a sparse disk of 1 MiB with a descriptor.
func described(text string) []byte {
	return imagetest.VMDK{Size: 1 << 20, Descriptor: text}.Build().Bytes
}

// Cases of the embedded descriptor of a single file.
func TestEmbeddedDescriptors(t *testing.T) {
	sized := func(size string) []byte {
		return described(descHead + descKind + "RW " + size + " SPARSE \"x\"\n")
	}
	run(t, []hostile{
		{"41 a second extent on the host", described(descHead + descKind + descExtent + "RW 2048 FLAT \"/etc/passwd\" 0\n"), diskimage.Malformed, "extents"},
		{"41 the only extent on the host", described(descHead + descKind + "RW 2048 FLAT \"/etc/passwd\" 0\n"), diskimage.External, "/etc/passwd"},
		{"42 streamOptimized over a sparse header", described(descHead + "createType=\"streamOptimized\"\n" + descExtent), diskimage.Malformed, "createType"},
		{"42 monolithicFlat in a sparse header", described(descHead + "createType=\"monolithicFlat\"\n" + descExtent), diskimage.External, "monolithicFlat"},
		{"43 a parent", described(descHead + "parentCID=12345678\n" + descKind + descExtent), diskimage.External, "12345678"},
		{"43 a parent's name alone", described(descHead + "parentCID=ffffffff\nparentFileNameHint=\"/base.vmdk\"\n" + descKind + descExtent), diskimage.External, "/base.vmdk"},
		{"44 another capacity", sized("2047"), diskimage.Malformed, "2047"},
		{"44 sectors -1", sized("-1"), diskimage.Malformed, "-1"},
		{"44 sectors 0", sized("0"), diskimage.Malformed, "size"},
		{"44 sectors 2^63", sized("9223372036854775808"), diskimage.Malformed, "size"},
		{"44 sectors 0x10", sized("0x10"), diskimage.Malformed, "0x10"},
		{"44 sectors 1e9", sized("1e9"), diskimage.Malformed, "1e9"},
		{"45 carriage returns alone", described(strings.ReplaceAll(descHead+descKind+descExtent, "\n", "\r")), diskimage.Malformed, "version"},
		{"45 one long line", described(strings.Repeat("version=1 ", 1000)), diskimage.Unsupported, "version"},
		{"48 a raw device", described(descHead + "createType=\"vmfsRDM\"\n" + descExtent), diskimage.External, "device"},
		{"48 a whole device", described(descHead + "createType=\"fullDevice\"\nRW 2048 FLAT \"/dev/sda\" 0\n"), diskimage.External, "device"},
		{"48 seSparse", described(descHead + "createType=\"seSparse\"\n" + descExtent), diskimage.Unsupported, "seSparse"},
		{"50 an escape sequence", described(descHead + descKind + "parentFileNameHint=\"\x1b[2Jnew\"\n" + descExtent), diskimage.External, "?[2Jnew"},
		{"50 10 KiB of Unicode", described(descHead + descKind + "parentFileNameHint=\"" + strings.Repeat("\u202e", 3000) + "\"\n" + descExtent), diskimage.External, "parentFileNameHint"},
	})
}

// flat returns the descriptor of a flat disk in files with the names.
func flat(extents ...string) []byte {
	return []byte(imagetest.VMDKDescriptor("monolithicFlat", extents...))
}

// A descriptor on its own names files. If they are not given, it is refused with
// their names, whatever these are, and no file is looked for.
func TestDescriptorsAlone(t *testing.T) {
	for name, extent := range map[string]string{
		"40 a host path": "/etc/passwd", "40 a parent folder": "../../x", "40 a drive": `C:\x`, "40 a share": `\\h\s`,
		"40 json": "json:{\\\"driver\\\":\\\"nbd\\\"}", "40 nbd": "nbd://h", "40 a URL": "http://169.254.169.254/latest/meta-data",
		"40 a device": "/dev/sda", "40 a NUL inside": "x\x00y", "40 4 KiB": strings.Repeat("n", 4096),
		"50 an escape sequence": "\x1b[31mred", "50 10 KiB of Unicode": strings.Repeat("\u202e", 3400),
	} {
		t.Run(name, func(t *testing.T) {
			wantRefused(t, flat(fmt.Sprintf("RW 2048 FLAT \"%s\" 0", extent)))
		})
	}
	for _, c := range []struct{ name, text string }{
		{"45 100000 extents", string(flat(strings.Repeat("RW 1 ZERO\n", 100_000)))},
		{"45 a line of 1 MiB", descHead + strings.Repeat("x", 1<<20) + "\n" + descKind},
		{"48 VMFSRDM", string(flat("RW 2048 VMFSRDM \"x-rdm.vmdk\""))},
		{"48 VMFSRAW", string(flat("RW 2048 VMFSRAW \"/dev/sdb\""))},
		{"48 SESPARSE", string(flat("RW 2048 SESPARSE \"x-sesparse.vmdk\""))},
		{"48 fullDevice", imagetest.VMDKDescriptor("fullDevice", "RW 2048 FLAT \"/dev/sda\" 0")},
	} {
		t.Run(c.name, func(t *testing.T) { wantRefused(t, []byte(c.text)) })
	}
}

// wantRefused fails t unless an object is refused for what it is, and not as a disk
// that happens to be damaged.
func wantRefused(t *testing.T, object []byte) {
	t.Helper()
	err := walk(object, nil)
	var fault *diskimage.FormatError
	if !errors.As(err, &fault) {
		t.Fatalf("got %v, want a fault", err)
	}
	wantFault(t, err, fault.Class, "vmdk")
}
