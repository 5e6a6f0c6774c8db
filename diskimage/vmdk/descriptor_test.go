package vmdk_test

import (
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
)

func TestBadDescriptor(t *testing.T) {
	const head = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\n"
	const kind = "createType=\"monolithicSparse\"\n"
	const extent = "RW 2048 SPARSE \"x.vmdk\"\n"
	tests := []struct {
		name, text string
		class      diskimage.Class
		word       string
	}{
		{"second extent on the host", head + kind + extent + "RW 2048 FLAT \"/etc/passwd\" 0\n", diskimage.Malformed, "extents"},
		{"flat extent", head + kind + "RW 2048 FLAT \"/etc/passwd\" 0\n", diskimage.External, "/etc/passwd"},
		{"no extent", head + kind, diskimage.Malformed, "extents"},
		{"not to be accessed", head + kind + "NOACCESS 2048 SPARSE \"x\"\n", diskimage.Unsupported, "accessed"},
		{"another size", head + kind + "RW 2047 SPARSE \"x\"\n", diskimage.Malformed, "2047"},
		{"size -1", head + kind + "RW -1 SPARSE \"x\"\n", diskimage.Malformed, "-1"},
		{"size +2048", head + kind + "RW +2048 SPARSE \"x\"\n", diskimage.Malformed, "+2048"},
		{"size 0", head + kind + "RW 0 SPARSE \"x\"\n", diskimage.Malformed, "size"},
		{"size 2^63", head + kind + "RW 9223372036854775808 SPARSE \"x\"\n", diskimage.Malformed, "size"},
		{"size 0x10", head + kind + "RW 0x10 SPARSE \"x\"\n", diskimage.Malformed, "0x10"},
		{"size 1e9", head + kind + "RW 1e9 SPARSE \"x\"\n", diskimage.Malformed, "1e9"},
		{"no type", head + kind + "RW 2048\n", diskimage.Malformed, "extent"},
		{"stream", head + "createType=\"streamOptimized\"\n" + extent, diskimage.Malformed, "createType"},
		{"flat type", head + "createType=\"monolithicFlat\"\n" + extent, diskimage.External, "monolithicFlat"},
		{"raw device", head + "createType=\"vmfsRDM\"\n" + extent, diskimage.External, "device"},
		{"whole device", head + "createType=\"fullDevice\"\nRW 2048 FLAT \"/dev/sda\" 0\n", diskimage.External, "device"},
		{"seSparse", head + "createType=\"seSparse\"\n" + extent, diskimage.Unsupported, "seSparse"},
		{"files of ESX", head + "parentCID=ffffffff\ncreateType=\"vmfsSparse\"\n" + extent, diskimage.External, "other files"},
		{"two types", head + kind + "createType=\"monolithicFlat\"\n" + extent, diskimage.Malformed, "twice"},
		{"parent", head + "parentCID=12345678\n" + kind + extent, diskimage.External, "12345678"},
		{"parent's name alone", head + "parentCID=ffffffff\nparentFileNameHint=\"/base.vmdk\"\n" + kind + extent, diskimage.External, "/base.vmdk"},
		{"encrypted", head + kind + extent + "encryption.keySafe = \"vmware:key\"\n", diskimage.Unsupported, "encrypted"},
		{"filtered", head + kind + extent + "ddb.iofilters = \"vmwarevmcrypt\"\n", diskimage.Unsupported, "encrypted"},
		{"version 9", "version=9\n" + kind + extent, diskimage.Unsupported, "version"},
		{"no version", "# Disk DescriptorFile\n" + kind + extent, diskimage.Malformed, "version"},
		{"only comments", strings.Repeat("#\n", 5000), diskimage.Malformed, "version"},
		{"carriage returns alone", strings.ReplaceAll(head+kind+extent, "\n", "\r"), diskimage.Malformed, "version"},
		{"one long line", strings.Repeat("version=1 ", 1000), diskimage.Unsupported, "version"},
		{"many extents", head + kind + strings.Repeat("RW 1 ZERO\n", 1000), diskimage.Malformed, "extents"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := imagetest.VMDK{Size: 1 << 20, Descriptor: tt.text}
			_, err := open(v.Build().Bytes)
			wantFault(t, err, tt.class, tt.word)
			if err != nil && len(err.Error()) > 700 {
				t.Errorf("the error has %d characters", len(err.Error()))
			}
		})
	}
}

func TestGoodDescriptors(t *testing.T) {
	for name, text := range map[string]string{
		"carriage returns":   "# Disk DescriptorFile\r\nversion=1\r\nCID=1\r\nparentCID=ffffffff\r\ncreateType=\"monolithicSparse\"\r\nRW 2048 SPARSE \"a b.vmdk\"\r\n",
		"blanks":             "version = 1 \nparentCID = FFFFFFFF \nCREATETYPE = \"monolithicSparse\" \n RW   2048 SPARSE \"x\"\n",
		"no first comment":   "\n\n# a comment\nversion=4\ncreateType=\"monolithicSparse\"\nRDONLY 2048 SPARSE \"/etc/passwd\"\n",
		"another encoding":   "version=1\nencoding=\"GBK\"\ncreateType=\"monolithicSparse\"\nRW 2048 SPARSE \"\xb4\xc5\xc5\xcc.vmdk\"\n",
		"name of a device":   "version=1\ncreateType=\"monolithicSparse\"\nRW 2048 SPARSE \"json:{}\"\n",
		"line of no meaning": "version=1\ncreateType=\"monolithicSparse\"\nRW 2048 SPARSE \"x\"\nwhat is this\n",
	} {
		if _, err := open(imagetest.VMDK{Size: 1 << 20, Descriptor: text}.Build().Bytes); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The type of a disk that is in one object is taken from the header when the
// descriptor does not name it, or names an unknown one.
func TestUnknownCreateType(t *testing.T) {
	for _, layout := range []imagetest.VMDKLayout{imagetest.VMDKSparse, imagetest.VMDKOvftool} {
		for name, line := range map[string]string{"none": "", "a new one": "createType=\"\x1b[2Jnew\"\n", "custom": "createType=\"custom\"\n"} {
			text := "\ufeff# Disk DescriptorFile\nversion=1\n" + line + "RW 2048 SPARSE \"x\"\n"
			d, err := open(imagetest.VMDK{Size: 1 << 20, Layout: layout, Descriptor: text}.Build().Bytes)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			got := d.Describe()
			if (got.Variant == "streamOptimized") != (layout == imagetest.VMDKOvftool) || len(got.Warnings) != 1 || strings.Contains(got.Warnings[0], "\x1b") {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}
}

// A descriptor of a disk in one file is not that file.
func TestDescriptorAlone(t *testing.T) {
	_, err := open([]byte(imagetest.VMDKDescriptor("streamOptimized", "RW 2048 SPARSE \"x\"")))
	wantFault(t, err, diskimage.Malformed, "stands alone")
	_, err = open([]byte(strings.Repeat("#\n", 1<<19) + "version=1\n"))
	wantFault(t, err, diskimage.NotFormat, "neither")
}

func TestOtherKinds(t *testing.T) {
	pad := make([]byte, 2048)
	for name, tt := range map[string]struct {
		object string
		class  diskimage.Class
		word   string
	}{
		"empty":    {"", diskimage.NotFormat, "empty"},
		"noise":    {strings.Repeat("\xff", 513), diskimage.NotFormat, "neither"},
		"magic":    {"KDMV", diskimage.Truncated, "header"},
		"COWD":     {"COWD" + string(pad), diskimage.External, "COWD"},
		"seSparse": {"\xbe\xba\xfe\xca\x00\x00\x00\x00" + string(pad), diskimage.Unsupported, "seSparse"},
		"zeros":    {string(pad), diskimage.NotFormat, "neither"},
	} {
		_, err := open([]byte(tt.object))
		t.Run(name, func(t *testing.T) { wantFault(t, err, tt.class, tt.word) })
	}
}
