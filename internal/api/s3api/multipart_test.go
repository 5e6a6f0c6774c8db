package s3api

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/imports/objects"
)

func begin(t *testing.T, c *s3.Client, in *s3.CreateMultipartUploadInput) *string {
	t.Helper()
	return must(c.CreateMultipartUpload(t.Context(), in))(t).UploadId
}

func uploaded(t *testing.T, c *s3.Client, bucket, key, id *string, number int32, body []byte) types.CompletedPart {
	t.Helper()
	out := must(c.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: id, PartNumber: &number, Body: bytes.NewReader(body)}))(t)
	return types.CompletedPart{
		PartNumber: &number, ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32, ChecksumSHA256: out.ChecksumSHA256, ChecksumCRC64NVME: out.ChecksumCRC64NVME,
	}
}

func TestUploadsInParts(t *testing.T) {
	b, ctx, key := bucketOf(t), t.Context(), aws.String("dir/a b")
	part := bytes.Repeat([]byte("0123456789abcdef"), objects.MinPart/16)
	for name, c := range map[string]*s3.Client{"http": ownerA.client(), "https": ownerA.secure()} {
		id := begin(t, c, &s3.CreateMultipartUploadInput{Bucket: b, Key: key, ContentType: aws.String("text/plain"), Metadata: map[string]string{"m": "1"}, Tagging: aws.String("t=1"), ContentEncoding: aws.String("gzip")})
		parts := []types.CompletedPart{uploaded(t, c, b, key, id, 1, part), uploaded(t, c, b, key, id, 2, part), uploaded(t, c, b, key, id, 7, []byte("end"))}
		listed := must(c.ListParts(ctx, &s3.ListPartsInput{Bucket: b, Key: key, UploadId: id, MaxParts: aws.Int32(2)}))(t)
		if len(listed.Parts) != 2 || !*listed.IsTruncated || *listed.NextPartNumberMarker != "2" || *listed.Parts[0].Size != objects.MinPart || *listed.Parts[0].ETag != *parts[0].ETag || listed.Initiator == nil {
			t.Errorf("%s: parts %+v", name, listed)
		}
		rest := must(c.ListParts(ctx, &s3.ListPartsInput{Bucket: b, Key: key, UploadId: id, PartNumberMarker: listed.NextPartNumberMarker}))(t)
		if len(rest.Parts) != 1 || *rest.Parts[0].PartNumber != 7 || *rest.IsTruncated {
			t.Errorf("%s: the rest of the parts %+v", name, rest)
		}
		complete := func(parts ...types.CompletedPart) (*s3.CompleteMultipartUploadOutput, error) {
			return c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: b, Key: key, UploadId: id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
		}
		wrong := parts[0]
		wrong.ETag = aws.String(`"wrong"`)
		refused(complete(wrong))(t, "InvalidPart")
		refused(complete(types.CompletedPart{PartNumber: aws.Int32(3), ETag: parts[0].ETag}))(t, "InvalidPart")
		refused(complete(parts[1], parts[0]))(t, "InvalidPartOrder")
		refused(complete())(t, "MalformedXML")
		done := must(complete(parts...))(t)
		if !strings.HasSuffix(*done.ETag, `-3"`) || *done.Key != *key || !strings.HasSuffix(*done.Location, "/"+*b+"/dir/a%20b") || done.ServerSideEncryption != "AES256" {
			t.Errorf("%s: done %+v", name, done)
		}
		if again := must(complete(parts...))(t); *again.ETag != *done.ETag {
			t.Errorf("%s: once more: %+v", name, again)
		}
		head := must(c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: key, PartNumber: aws.Int32(7)}))(t)
		if *head.PartsCount != 3 || *head.ContentLength != 3 || *head.ContentType != "text/plain" || head.Metadata["m"] != "1" || *head.TagCount != 1 || *head.ContentEncoding != "gzip" {
			t.Errorf("%s: the last part %+v", name, head)
		}
		out := must(c.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: key, Range: aws.String(fmt.Sprintf("bytes=%d-", objects.MinPart-2))}))(t)
		if body := must(io.ReadAll(out.Body))(t); len(body) != objects.MinPart+5 || !bytes.HasSuffix(body, []byte("efend")) || string(body[:4]) != "ef01" {
			t.Errorf("%s: %d bytes, %.4s", name, len(body), body)
		}
		out.Body.Close()
		refused(c.ListParts(ctx, &s3.ListPartsInput{Bucket: b, Key: key, UploadId: id}))(t, "NoSuchUpload")
	}
}

func TestSmallParts(t *testing.T) {
	b, c, key := bucketOf(t), ownerA.client(), aws.String("k")
	id := begin(t, c, &s3.CreateMultipartUploadInput{Bucket: b, Key: key})
	parts := []types.CompletedPart{uploaded(t, c, b, key, id, 1, []byte("one")), uploaded(t, c, b, key, id, 2, []byte("two"))}
	in := &s3.CompleteMultipartUploadInput{Bucket: b, Key: key, UploadId: id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}}
	refused(c.CompleteMultipartUpload(t.Context(), in))(t, "EntityTooSmall")
	in.MultipartUpload.Parts, in.MpuObjectSize = parts[1:], aws.Int64(4)
	refused(c.CompleteMultipartUpload(t.Context(), in))(t, "InvalidRequest")
	in.MpuObjectSize, in.IfNoneMatch = aws.Int64(3), aws.String("*")
	must(c.CompleteMultipartUpload(t.Context(), in))(t)
	if get(t, b, "k") != "two" {
		t.Error("the parts that are not named are there")
	}
	second := begin(t, c, &s3.CreateMultipartUploadInput{Bucket: b, Key: key})
	in.UploadId, in.MpuObjectSize = second, nil
	in.MultipartUpload.Parts = []types.CompletedPart{uploaded(t, c, b, key, second, 1, []byte("other"))}
	refused(c.CompleteMultipartUpload(t.Context(), in))(t, "PreconditionFailed")
	for number, want := range map[int32]string{0: "InvalidArgument", 10_001: "InvalidArgument"} {
		refused(c.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: b, Key: key, UploadId: second, PartNumber: &number}))(t, want)
	}
	refused(c.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: b, Key: aws.String("other"), UploadId: second, PartNumber: aws.Int32(1)}))(t, "NoSuchUpload")
	must(c.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: b, Key: key, UploadId: second}))(t)
	refused(c.AbortMultipartUpload(t.Context(), &s3.AbortMultipartUploadInput{Bucket: b, Key: key, UploadId: second}))(t, "NoSuchUpload")
}

// withChecksum adds the checksum that the whole object must have.
func withChecksum(in s3.CompleteMultipartUploadInput, algorithm types.ChecksumAlgorithm, value string) *s3.CompleteMultipartUploadInput {
	switch algorithm {
	case "CRC32":
		in.ChecksumCRC32 = &value
	case "CRC64NVME":
		in.ChecksumCRC64NVME = &value
	case "SHA256":
		in.ChecksumSHA256 = &value
	}
	return &in
}

func otherThan(kind types.ChecksumType) types.ChecksumType {
	if kind == "COMPOSITE" {
		return "FULL_OBJECT"
	}
	return "COMPOSITE"
}

func TestChecksumsOfParts(t *testing.T) {
	b, c, ctx, key := bucketOf(t), ownerA.client(), t.Context(), aws.String("k")
	part := bytes.Repeat([]byte("x"), objects.MinPart)
	for _, x := range []struct {
		algorithm types.ChecksumAlgorithm
		kind      types.ChecksumType
		want      string // computed elsewhere
		parts     int    // that attributes list: those of a full checksum are not
	}{
		{"CRC32", "COMPOSITE", "8QCl5Q==-2", 2},
		{"CRC32", "FULL_OBJECT", "ZVysAw==", 0},
		{"CRC64NVME", "FULL_OBJECT", "AQBdTd3OzQI=", 0},
		{"SHA256", "COMPOSITE", "qFuj+Bs6urZY+rRoZA2WBEZJSsCvBA2/DlinYskKglw=-2", 2},
	} {
		id := begin(t, c, &s3.CreateMultipartUploadInput{Bucket: b, Key: key, ChecksumAlgorithm: x.algorithm, ChecksumType: x.kind})
		var parts []types.CompletedPart
		for i, body := range [][]byte{part, []byte("end")} {
			out := must(c.UploadPart(ctx, &s3.UploadPartInput{Bucket: b, Key: key, UploadId: id, PartNumber: aws.Int32(int32(i) + 1), Body: bytes.NewReader(body), ChecksumAlgorithm: x.algorithm}))(t)
			parts = append(parts, types.CompletedPart{PartNumber: aws.Int32(int32(i) + 1), ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32, ChecksumCRC64NVME: out.ChecksumCRC64NVME, ChecksumSHA256: out.ChecksumSHA256})
		}
		in := &s3.CompleteMultipartUploadInput{Bucket: b, Key: key, UploadId: id, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}}
		for _, wrong := range []string{"bad", "AAAAAA==", x.want[:len(x.want)-1] + "3"} {
			refused(c.CompleteMultipartUpload(ctx, withChecksum(*in, x.algorithm, wrong)))(t, "BadDigest")
		}
		for kind, want := range map[types.ChecksumType]string{"nonsense": "InvalidRequest", otherThan(x.kind): "InvalidRequest"} {
			in.ChecksumType = kind
			refused(c.CompleteMultipartUpload(ctx, in))(t, want)
		}
		in.ChecksumType = x.kind
		done := must(c.CompleteMultipartUpload(ctx, withChecksum(*in, x.algorithm, x.want)))(t)
		got := aws.ToString(done.ChecksumCRC32) + aws.ToString(done.ChecksumCRC64NVME) + aws.ToString(done.ChecksumSHA256)
		if got != x.want || done.ChecksumType != x.kind {
			t.Errorf("%s %s: %q, %s", x.algorithm, x.kind, got, done.ChecksumType)
		}
		out := must(c.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: key, ChecksumMode: "ENABLED"}))(t)
		if body := must(io.ReadAll(out.Body))(t); len(body) != len(part)+3 { // the SDK checks a full one
			t.Errorf("%d bytes", len(body))
		}
		out.Body.Close()
		shown := must(c.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: b, Key: key, ObjectAttributes: []types.ObjectAttributes{"ObjectParts", "Checksum"}}))(t)
		if *shown.ObjectParts.TotalPartsCount != 2 || len(shown.ObjectParts.Parts) != x.parts || (shown.ObjectParts.IsTruncated != nil) != (x.parts > 0) || shown.Checksum.ChecksumType != x.kind {
			t.Errorf("%s %s: %+v", x.algorithm, x.kind, shown.ObjectParts)
		}
	}
	id := begin(t, c, &s3.CreateMultipartUploadInput{Bucket: b, Key: key, ChecksumAlgorithm: "SHA256"})
	refused(c.UploadPart(ctx, &s3.UploadPartInput{Bucket: b, Key: key, UploadId: id, PartNumber: aws.Int32(1), Body: strings.NewReader("x"), ChecksumAlgorithm: "CRC32"}))(t, "InvalidRequest")
	refused(c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: b, Key: key, ChecksumAlgorithm: "SHA256", ChecksumType: "FULL_OBJECT"}))(t, "InvalidRequest")
}

func TestPartsAreCopied(t *testing.T) {
	b, c, ctx, key := bucketOf(t), ownerA.client(), t.Context(), aws.String("k")
	source := bytes.Repeat([]byte("0123456789abcdef"), objects.MinPart/16+1)
	must(c.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: aws.String("src"), Body: bytes.NewReader(source)}))(t)
	id := begin(t, c, &s3.CreateMultipartUploadInput{Bucket: b, Key: key})
	from := aws.String(*b + "/src")
	whole := must(c.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: b, Key: key, UploadId: id, PartNumber: aws.Int32(1), CopySource: from}))(t)
	some := must(c.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: b, Key: key, UploadId: id, PartNumber: aws.Int32(2), CopySource: from, CopySourceRange: aws.String("bytes=10-14")}))(t)
	for text, want := range map[string]string{"bytes=0-99999999": "InvalidArgument", "bytes=5-": "InvalidArgument", "0-4": "InvalidArgument"} {
		refused(c.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: b, Key: key, UploadId: id, PartNumber: aws.Int32(3), CopySource: from, CopySourceRange: &text}))(t, want)
	}
	refused(c.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: b, Key: key, UploadId: id, PartNumber: aws.Int32(3), CopySource: aws.String(*b + "/none")}))(t, "NoSuchKey")
	must(c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: b, Key: key, UploadId: id, MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{
		{PartNumber: aws.Int32(1), ETag: whole.CopyPartResult.ETag}, {PartNumber: aws.Int32(2), ETag: some.CopyPartResult.ETag},
	}}}))(t)
	if got := get(t, b, "k"); got != string(source)+"abcde" {
		t.Errorf("%d bytes, %.20s", len(got), got[len(got)-10:])
	}
}

func TestUploadsAreListed(t *testing.T) {
	b, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	ids := map[string]string{}
	for _, key := range []string{"a", "dir/1", "dir/2", "dir/2", "e"} {
		ids[*begin(t, c, &s3.CreateMultipartUploadInput{Bucket: b, Key: &key})] = key
	}
	var pages []string
	for p := s3.NewListMultipartUploadsPaginator(c, &s3.ListMultipartUploadsInput{Bucket: b, MaxUploads: aws.Int32(2)}); p.HasMorePages(); {
		page := ""
		for _, u := range must(p.NextPage(ctx))(t).Uploads {
			if ids[*u.UploadId] != *u.Key || u.Initiated == nil {
				t.Errorf("upload %+v", u)
			}
			page += *u.Key + " "
		}
		pages = append(pages, page)
	}
	if want := []string{"a dir/1 ", "dir/2 dir/2 ", "e "}; !cmp.Equal(pages, want) {
		t.Errorf("pages %q, want %q", pages, want)
	}
	out := must(c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: b, Delimiter: aws.String("/")}))(t)
	if len(out.Uploads) != 2 || len(out.CommonPrefixes) != 1 || *out.CommonPrefixes[0].Prefix != "dir/" {
		t.Errorf("folded: %+v %+v", out.Uploads, out.CommonPrefixes)
	}
	if out = must(c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: b, Prefix: aws.String("dir/")}))(t); len(out.Uploads) != 3 {
		t.Errorf("with a prefix: %+v", out.Uploads)
	}
	must(c.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: b}))(t) // unfinished uploads don't hinder it
}

func TestUploadsExpire(t *testing.T) {
	b, c, ctx := bucketOf(t), ownerA.client(), t.Context()
	old, kept := aws.String("tmp/old"), aws.String("other")
	id, keptID := begin(t, c, &s3.CreateMultipartUploadInput{Bucket: b, Key: old}), begin(t, c, &s3.CreateMultipartUploadInput{Bucket: b, Key: kept})
	must(c.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{Bucket: b, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{{
		ID: aws.String("r"), Status: "Enabled", Filter: &types.LifecycleRuleFilter{Prefix: aws.String("tmp/")}, AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(1)},
	}}}}))(t)
	edge := *shared.edge
	if err := edge.ExpireUploads(ctx, accountA); err != nil {
		t.Fatal(err)
	}
	must(c.ListParts(ctx, &s3.ListPartsInput{Bucket: b, Key: old, UploadId: id}))(t)
	edge.opts.Aged = func() time.Time { return time.Now().Add(48 * time.Hour) }
	if err := edge.ExpireUploads(ctx, accountA); err != nil {
		t.Fatal(err)
	}
	refused(c.ListParts(ctx, &s3.ListPartsInput{Bucket: b, Key: old, UploadId: id}))(t, "NoSuchUpload")
	must(c.ListParts(ctx, &s3.ListPartsInput{Bucket: b, Key: kept, UploadId: keptID}))(t)
}

// TestDefaultChecksum: what comes without a checksum gets one, as at AWS.
func TestDefaultChecksum(t *testing.T) {
	b, ctx := bucketOf(t), t.Context()
	// The SDK would give one.
	c := ownerA.client(func(o *s3.Options) { o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired })
	const nines = "rosUhgp5mIg=" // of 123456789, as the catalogue of CRCs has it
	digits := strings.NewReader("123456789")
	made := must(c.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: aws.String("k"), Body: digits}))(t)
	if aws.ToString(made.ChecksumCRC64NVME) != nines || made.ChecksumType != "FULL_OBJECT" {
		t.Errorf("put: %q, %s", aws.ToString(made.ChecksumCRC64NVME), made.ChecksumType)
	}
	upload := func(key string, part *s3.UploadPartInput) *s3.CompleteMultipartUploadOutput {
		u := must(c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: b, Key: &key}))(t)
		part.Bucket, part.Key, part.UploadId, part.PartNumber, part.Body = b, &key, u.UploadId, aws.Int32(1), strings.NewReader("123456789")
		one := must(c.UploadPart(ctx, part))(t)
		return must(c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: b, Key: &key, UploadId: u.UploadId, MultipartUpload: &types.CompletedMultipartUpload{
			Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: one.ETag, ChecksumCRC32: one.ChecksumCRC32}},
		}}))(t)
	}
	if done := upload("u", &s3.UploadPartInput{}); aws.ToString(done.ChecksumCRC64NVME) != nines || done.ChecksumType != "FULL_OBJECT" {
		t.Errorf("upload: %+v", done)
	}
	if done := upload("v", &s3.UploadPartInput{ChecksumAlgorithm: types.ChecksumAlgorithmCrc32}); done.ChecksumCRC64NVME != nil || done.ChecksumType != "" {
		t.Errorf("an upload whose parts have another: %+v", done)
	}
	for _, key := range []string{"k", "u"} {
		head := must(c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: &key, ChecksumMode: "ENABLED"}))(t)
		if aws.ToString(head.ChecksumCRC64NVME) != nines {
			t.Errorf("%s: %q", key, aws.ToString(head.ChecksumCRC64NVME))
		}
	}
}
