package main

import "context"

// quantity is what a figure is about.
type quantity struct {
	name, unit string
	most       bool // the less the better
}

var (
	faster      = quantity{"peer's time / ours", "×", false}
	cpuShare    = quantity{"our CPU / peer's", "×", true}
	wholeWay    = quantity{"cp + convert / upload + import", "×", false}
	overCurl    = quantity{"our time / curl's", "×", true}
	thanBorg    = quantity{"borg's time / ours", "×", false}
	thanRestic  = quantity{"restic's time / ours", "×", false}
	newBytes    = quantity{"new bytes of version 2", "%", true}
	againShare  = quantity{"time of version 2 / of all", "×", true}
	oneImport   = quantity{"memory of any import", "MiB", true}
	fourImports = quantity{"memory of four at once", "MiB", true}
	slowest     = quantity{"slowest", "s", true}
	encRaw      = quantity{"raw, encrypted / not", "×", true}
	encVMDK     = quantity{"VMDK, encrypted / not", "×", true}
	p50         = quantity{"p50", "ms", true}
	p99         = quantity{"p99", "ms", true}
	clients8    = quantity{"8 clients", "MB/s", false}
	listPage    = quantity{"slowest page of 10,000", "ms", true}
	listGrowth  = quantity{"64 TiB / 6 GiB, last / first", "×", true}
	describe100 = quantity{"slowest page of 100", "ms", true}
	deleteOne   = quantity{"DeleteSnapshot", "ms", true}
	throughAPI  = quantity{"call to completed", "s", true}
	asProcess   = quantity{"as a process", "s", true}
	verifyRate  = quantity{"verify", "GB/s", false}
	storeSize   = quantity{"bytes / the better peer's", "×", true}
)

// goal is what a figure has to reach. Below its floor the program is not good enough.
type goal struct {
	of          quantity
	goal, floor float64
	allows      func(limits, result) float64 // what the machine allows, which is enough as well; may be nil
}

// benchCase is something that is measured.
type benchCase struct {
	row   int // of the table of goals; 0: none, and only measured when it is named
	name  string
	what  string
	run   func(*bench, context.Context) (result, error)
	goals []goal
}

// cases returns all cases with their goals.
func cases() []benchCase {
	written := []goal{{faster, 1.6, 1.2, coresOrDisk}}
	return []benchCase{
		{1, "vmdk", "stream-optimised VMDK, a local file", local("disk.vmdk", "vmdk"),
			[]goal{{faster, 4, 3, coresBusy}, {cpuShare, 0.6, 0.65, nil}}},
		{2, "s3", "the same from the embedded S3, by hand with aws s3 cp and qemu-img; and with the upload", (*bench).fromS3,
			[]goal{{faster, 4, 3.5, nil}, {wholeWay, 1.5, 1.2, nil}}},
		{3, "qcow2-zlib", "compressed qcow2", local("disk.zlib.qcow2", "qcow2"), []goal{{faster, 2.2, 1.9, coresBusy}}},
		{3, "qcow2-zstd", "compressed qcow2", local("disk.zstd.qcow2", "qcow2"), []goal{{faster, 2, 1.8, coresBusy}}},
		{4, "raw", "raw disk", local("disk.raw", "raw"), written},
		{4, "vhd", "dynamic VHD", local("disk.vhd", "vpc"), written},
		{4, "vhdx", "dynamic VHDX", local("disk.vhdx", "vhdx"), written},
		{4, "qcow2", "plain qcow2", local("disk.qcow2", "qcow2"), written},
		{4, "sparse-vmdk", "sparse VMDK", local("disk.sparse.vmdk", "vmdk"), []goal{{faster, 2.2, 1.2, coresOrDisk}}},
		{5, "s3-raw", "raw disk from the embedded S3, by hand, and with curl to nowhere", (*bench).rawFromS3,
			[]goal{{faster, 3.5, 2.5, nil}, {overCurl, 2, 2, nil}}},
		{6, "stores", "raw disk into an empty store", (*bench).stores, []goal{{thanBorg, 3, 2, nil}, {thanRestic, 5, 4, nil}}},
		{7, "again-raw", "version 2 of a raw disk", again("disk.raw", "v2.raw"),
			[]goal{{newBytes, 5.1, 5.2, nil}, {againShare, 0.5, 0.65, nil}}},
		{7, "again-vmdk", "version 2 of a VMDK", again("disk.vmdk", "v2.vmdk"),
			[]goal{{newBytes, 5.1, 5.2, nil}, {againShare, 0.5, 0.65, nil}}},
		{9, "empty", "disks of 64 and 2 TiB without data", bare(0, "empty.vhdx", "empty.qcow2", "empty.vmdk"), []goal{{slowest, 0.3, 1, nil}}},
		{9, "ends", "a disk of 64 TiB with a GPT, which is at both its ends", bare(2, "ends.qcow2"), []goal{{slowest, 0.3, 1, nil}}},
		{10, "encrypted", "encryption on", (*bench).encrypted, []goal{{encRaw, 1.25, 1.25, nil}, {encVMDK, 1.1, 1.1, nil}}},
		{11, "get", "GetSnapshotBlock, verified", getBlocks(false), getGoals},
		{11, "get-compressed", "GetSnapshotBlock of compressed blocks, verified", getBlocks(true), getGoals},
		{12, "put", "PutSnapshotBlock, verified, durable at each answer", (*bench).putBlocks, []goal{{clients8, 700, 500, nil}}},
		{13, "list", "ListSnapshotBlocks and ListChangedBlocks", (*bench).listBlocks, []goal{{listPage, 20, 20, nil}, {listGrowth, 1.2, 1.2, nil}}},
		{14, "describe", "DescribeSnapshots and DescribeImportSnapshotTasks of 100,000", (*bench).describe, []goal{{describe100, 10, 10, nil}}},
		{14, "delete", "DeleteSnapshot of the standard disk", (*bench).deleteSnapshots, []goal{{deleteOne, 50, 50, nil}}},
		{15, "small", "an image of 16 MiB", (*bench).small, []goal{{throughAPI, 0.15, 0.3, nil}, {asProcess, 0.12, 0.2, nil}}},
		{16, "export", "a whole disk, verified, beside qemu-img with the same raw disk", export(false), []goal{{faster, 1.2, 0.9, nil}}},
		{16, "export-compressed", "the same from a compressed store", export(true), []goal{{faster, 0.8, 0.8, nil}}},
		{17, "verify", "everything", (*bench).verify, []goal{{verifyRate, 1.5, 1.2, nil}}},
		{18, "size", "bytes on disk after compaction, beside restic's and borg's, compressed", (*bench).storeSize, []goal{{storeSize, 1.15, 1.3, nil}}},
		{19, "xz", "raw in xz, beside xz with two threads", packed("packed.raw.xz", "xz -T2 -dc"), []goal{{faster, 0.8, 0.5, nil}}},
		{19, "zstd", "raw in zstd, beside zstd with two threads", packed("packed.raw.zst", "zstd -T2 -dqc"), []goal{{faster, 1, 0.5, nil}}},
		{19, "bzip2", "raw in bzip2, beside lbzip2 with two threads", packed("packed.raw.bz2", "lbzip2 -n2 -dc"), []goal{{faster, 0.8, 0.5, nil}}},
		// Last, as it tells of the imports before it.
		{8, "memory", "memory of the service, any format and source", (*bench).memory, []goal{{oneImport, 96, 128, nil}, {fourImports, 200, 300, nil}}},
		{0, "compaction", "raw disk, beside a compaction at its rate in the background", (*bench).besideCompaction, nil},
		{0, "before", "beside an earlier program, which -before names", (*bench).sinceBefore, nil},
	}
}

var getGoals = []goal{{p50, 1, 2, nil}, {p99, 5, 8, nil}, {clients8, 1500, 1000, hashAndCopy}}

// idle is by how much an import may take longer than the machine allows.
const idle = 1.15

// coresBusy is what the machine allows that has no idle core: of an import, the second side,
// beside its peer, the first.
func coresBusy(l limits, r result) float64 {
	return r.sides[0].Wall / (idle * r.sides[1].CPU / l.cores())
}

// coresOrDisk is the same where the disk may be what is busy.
func coresOrDisk(l limits, r result) float64 {
	return r.sides[0].Wall / (idle * max(r.values[storedBytes]/1e6/l.DiskWrite, r.sides[1].CPU/l.cores()))
}

// hashAndCopy is what the machine allows both ends of a connection: each hashes a block
// once, and a block is copied out of the page cache, into the connection and out of it.
func hashAndCopy(l limits, _ result) float64 {
	return l.cores() / (2/l.SHA256 + 3/l.Copy)
}
