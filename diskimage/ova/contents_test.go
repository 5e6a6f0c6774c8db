package ova_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/diskimage/ova"
)

// machine returns an OVF of two disks with files and one without, with what is said of
// the machine.
func machine(said string) imagetest.Member {
	text := string(imagetest.OVFText(`<File ovf:id="f1" ovf:href="b.vmdk"/><File ovf:id="f2" ovf:href="a.vmdk"/>`,
		`<Disk ovf:diskId="one" ovf:fileRef="f1"/><Disk ovf:diskId="new" ovf:capacity="1"/><Disk ovf:diskId="two" ovf:fileRef="f2"/>`))
	return imagetest.Member{Name: "vm.ovf", Data: []byte(strings.Replace(text, "</Envelope>", said+"</Envelope>", 1))}
}

func TestList(t *testing.T) {
	disks := []string{"b.vmdk", "a.vmdk"}
	const vmware = `<VirtualSystem ovf:id="vm"><OperatingSystemSection ovf:id="94" osType="ubuntu64Guest"/>` +
		`<VirtualHardwareSection><Config key="other" value="x"/><Config key="firmware" value="efi"/></VirtualHardwareSection></VirtualSystem>`
	const virtualBox = `<VirtualSystem><Machine OSType="Debian_arm64"><Hardware><Firmware type="EFI64"/></Hardware></Machine></VirtualSystem>`
	for name, c := range map[string]struct {
		object []byte
		want   ova.Contents
	}{
		"nothing said": {imagetest.Tar(machine("")), ova.Contents{Disks: disks, Empty: 1}},
		"VMware":       {imagetest.Tar(machine(vmware)), ova.Contents{Disks: disks, Empty: 1, Firmware: ova.EFI, Guest: "ubuntu64Guest"}},
		"VirtualBox":   {imagetest.Tar(machine(virtualBox)), ova.Contents{Disks: disks, Empty: 1, Firmware: ova.EFI, Guest: "Debian_arm64"}},
		"BIOS":         {imagetest.Tar(machine(strings.Replace(vmware, "efi", "bios", 1))), ova.Contents{Disks: disks, Empty: 1, Firmware: ova.BIOS, Guest: "ubuntu64Guest"}},
		"other words":  {imagetest.Tar(machine(strings.Replace(vmware, "efi", "coreboot", 1))), ova.Contents{Disks: disks, Empty: 1, Guest: "ubuntu64Guest"}},
		"no OVF":       {imagetest.Tar(text("b.raw", "b"), text("a.raw", "a"), text("readme", "")), ova.Contents{Disks: []string{"a.raw", "b.raw"}}},
	} {
		isDisk := func(name string, _ diskimage.File) bool { return strings.HasSuffix(name, ".raw") }
		got, err := ova.List(bytes.NewReader(c.object), int64(len(c.object)), ova.Options{IsDisk: isDisk})
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestListRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		object []byte
		want   string
	}{
		"no archive":    {[]byte(strings.Repeat("x", 1024)), ""},
		"no disk":       {imagetest.Tar(imagetest.Member{Name: "vm.ovf", Data: imagetest.OVF()}), "it holds no disk"},
		"a file twice":  {imagetest.Tar(imagetest.Member{Name: "vm.ovf", Data: imagetest.OVFText(`<File ovf:id="f" ovf:href="a"/>`, `<Disk ovf:fileRef="f"/><Disk ovf:fileRef="f"/>`)}), "the file of two disks"},
		"a wrong OVF":   {imagetest.Tar(machine(""), text("vm.mf", "SHA1(vm.ovf)= "+strings.Repeat("0", 40)+"\n")), "SHA1"},
		"a long name":   {imagetest.Tar(imagetest.Member{Name: "vm.ovf", Data: imagetest.OVF(strings.Repeat("n", 1025))}), "too long a name"},
		"nothing loose": {imagetest.Tar(text("readme", "x")), "without a disk"},
	} {
		_, err := ova.List(bytes.NewReader(c.object), int64(len(c.object)), ova.Options{})
		var format *diskimage.FormatError
		if !errors.As(err, &format) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestDiskFiles(t *testing.T) {
	got, err := ova.DiskFiles(imagetest.OVF("sys.vmdk", "more/data.vmdk"))
	if err != nil || !slices.Equal(got, []string{"sys.vmdk", "more/data.vmdk"}) {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := ova.DiskFiles(imagetest.OVFText("", `<Disk ovf:diskId="d" ovf:capacity="1"/>`)); err != nil || len(got) != 0 {
		t.Errorf("a disk without a file: %q, %v", got, err)
	}
	for name, text := range map[string][]byte{
		"no XML":             []byte("<"),
		"too long":           make([]byte, 8<<20+1),
		"no such file":       imagetest.OVFText("", `<Disk ovf:diskId="d" ovf:fileRef="f"/>`),
		"a file of two":      imagetest.OVFText(`<File ovf:id="f" ovf:href="a"/>`, `<Disk ovf:fileRef="f"/><Disk ovf:fileRef="f"/>`),
		"a file in pieces":   imagetest.OVFText(`<File ovf:id="f" ovf:href="a" ovf:chunkSize="7"/>`, `<Disk ovf:fileRef="f"/>`),
		"a name without end": imagetest.OVFText(`<File ovf:id="f" ovf:href="`+strings.Repeat("a", 2000)+`"/>`, `<Disk ovf:fileRef="f"/>`),
	} {
		if got, err := ova.DiskFiles(text); err == nil {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
