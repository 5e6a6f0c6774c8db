package awsid

import "testing"

func TestNewIDsHaveTheShapesThatAreAccepted(t *testing.T) {
	var s Source
	if id := s.Task(); !IsTask(id) {
		t.Errorf("IsTask(%q) = false", id)
	}
	if id := s.Snapshot(); !IsSnapshot(id) {
		t.Errorf("IsSnapshot(%q) = false", id)
	}
	if n := s.Int63(); n <= 0 {
		t.Errorf("Int63() = %d, want > 0", n)
	}
}

func TestShapes(t *testing.T) {
	for _, c := range []struct {
		id             string
		task, snapshot bool
	}{
		{"import-snap-0324ba36915dd67c3", true, false},
		{"import-snap-2b608c5f4fbcc276t", true, false},
		{"import-snap-fh6i8uil", true, false},
		{"import-snap-", false, false},
		{"import-ami-0123456789abcdef0", false, false},
		{"snap-0333155d642f6fccb", false, true},
		{"snap-1234abcd", false, true},
		{"snap-XYZ", false, false},
	} {
		if got := IsTask(c.id); got != c.task {
			t.Errorf("IsTask(%q) = %v, want %v", c.id, got, c.task)
		}
		if got := IsSnapshot(c.id); got != c.snapshot {
			t.Errorf("IsSnapshot(%q) = %v, want %v", c.id, got, c.snapshot)
		}
	}
}

func TestARNs(t *testing.T) {
	if got, want := TaskARN(Home{"123456789012", "cn-north-1"}, "import-snap-1"), "arn:aws-cn:ec2:cn-north-1:123456789012:import-snapshot-task/import-snap-1"; got != want {
		t.Errorf("TaskARN = %q, want %q", got, want)
	}
	if got, want := SnapshotARN("us-east-1", "snap-1"), "arn:aws:ec2:us-east-1::snapshot/snap-1"; got != want {
		t.Errorf("SnapshotARN = %q, want %q", got, want)
	}
}
