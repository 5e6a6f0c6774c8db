package imagetest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
)

// Member is a member of a tar archive to build.
type Member struct {
	Name   string
	Data   []byte
	Header func(*tar.Header) // changes the header, whose format may be any
}

// Tar returns an archive of the members. It panics if archive/tar refuses one.
func Tar(members ...Member) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, m := range members {
		h := &tar.Header{Name: m.Name, Size: int64(len(m.Data)), Mode: 0o644, Typeflag: tar.TypeReg}
		if m.Header != nil {
			m.Header(h)
		}
		if err := w.WriteHeader(h); err != nil {
			panic(err)
		}
		if _, err := w.Write(m.Data); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// OVF returns a description with File and Disk elements for disks in files with the
// names. A name may be followed by attributes for its File element: "a.vmdk
// ovf:size=\"7\"".
func OVF(names ...string) []byte {
	var files, disks string
	for i, n := range names {
		name, attrs, _ := strings.Cut(n, " ")
		files += fmt.Sprintf("<File ovf:id=\"f%d\" ovf:href=\"%s\" %s/>", i, name, attrs)
		disks += fmt.Sprintf("<Disk ovf:diskId=\"d%d\" ovf:fileRef=\"f%d\"/>", i, i)
	}
	return OVFText(files, disks)
}

// OVFText returns a description with the given elements.
func OVFText(files, disks string) []byte {
	const space = "http://schemas.dmtf.org/ovf/envelope/1"
	return fmt.Appendf(nil, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Envelope xmlns=\"%s\" xmlns:ovf=\"%s\">"+
		"<References>%s</References><DiskSection><Info>disks</Info>%s</DiskSection></Envelope>", space, space, files, disks)
}

// Manifest returns the SHA-256 digests of the members, as VMware writes them.
func Manifest(members ...Member) []byte {
	var text string
	for _, m := range members {
		text += fmt.Sprintf("SHA256(%s)= %x\n", m.Name, sha256.Sum256(m.Data))
	}
	return []byte(text)
}
