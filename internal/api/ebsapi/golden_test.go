package ebsapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"github.com/aws/smithy-go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/awshttp/wiretest"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
)

var update = flag.Bool("update", false, "write the golden files anew")

type keys struct{ who *iam.Principal }

func (k keys) Lookup(context.Context, string, string) (iam.Principal, sigv4.Secret, error) {
	return *k.who, sigv4.NewSecret("secret"), nil
}

// wire is the edge behind the front chain on a listener, the SDK's client for it,
// and a record of the last exchange.
type wire struct {
	*ebs.Client
	exchange bytes.Buffer
}

// recorded are the headers that belong to the protocol.
var recorded = []string{"Content-Type", "Content-Length", "X-Amz-Content-Sha256", "X-Amz-Data-Length", "X-Amz-Checksum", "X-Amz-Checksum-Algorithm", "X-Amz-Checksum-Aggregation-Method", "X-Amz-Changedblockscount", "X-Amz-Progress", "X-Amzn-Errortype", "X-Amzn-Requestid"}

func (w *wire) note(h http.Header) {
	for _, name := range recorded {
		if value := h.Get(name); value != "" {
			fmt.Fprintf(&w.exchange, "%s: %s\n", name, value)
		}
	}
}

func newWire(t *testing.T, f *fixture) *wire {
	w := &wire{}
	front := awshttp.New(awshttp.Options{
		Regions: wiretest.Regions("us-east-1"),
		Edges:   map[string]awshttp.Edge{awshttp.EBS: f.API}, Keys: keys{&f.who}, Log: slog.New(slog.DiscardHandler),
		Metrics: prometheus.NewRegistry(), NewID: func() string { return "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0" },
	})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.exchange.Reset()
		fmt.Fprintf(&w.exchange, "-- request --\n%s %s\n", r.Method, r.URL)
		w.note(r.Header)
		rec := httptest.NewRecorder()
		front.ServeHTTP(rec, r)
		fmt.Fprintf(&w.exchange, "-- response --\n%d\n", rec.Code)
		w.note(rec.Header())
		body := rec.Body.Bytes()
		if len(body) == block.Size {
			fmt.Fprintf(&w.exchange, "(%d bytes of %d)\n", len(body), body[0])
		} else {
			fmt.Fprintf(&w.exchange, "%s\n", body)
		}
		for name, values := range rec.Header() {
			rw.Header()[name] = values
		}
		rw.WriteHeader(rec.Code)
		_, _ = rw.Write(body)
	}))
	t.Cleanup(server.Close)
	w.Client = ebs.New(ebs.Options{
		BaseEndpoint: aws.String(server.URL), Region: "us-east-1", RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", ""),
	})
	return w
}

// check compares the last exchange, and what the client made of it, with a file.
func (w *wire) check(t *testing.T, name string, out any, err error) {
	t.Helper()
	var told smithy.APIError
	client := ""
	switch {
	case errors.As(err, &told):
		client = fmt.Sprintf("%T %s: %s", told, told.ErrorCode(), told.ErrorMessage())
	case err != nil:
		t.Fatal(err)
	default:
		text, err := json.MarshalIndent(out, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		client = string(text)
	}
	got := w.exchange.String() + "-- client --\n" + client + "\n"
	if *update {
		wiretest.WriteGolden(t, name, got)
	}
	wiretest.Golden(t, name, got)
}

func TestGolden(t *testing.T) {
	ctx := t.Context()
	f := newFixture()
	many := volume{}
	for i := range int64(101) {
		many[i] = 1
	}
	f.Snapshots.(snapshots).add(unknown, account, snapshot.Completed, many)
	w := newWire(t, f)

	listed, err := w.ListSnapshotBlocks(ctx, &ebs.ListSnapshotBlocksInput{SnapshotId: aws.String(snapA), StartingBlockIndex: aws.Int32(1)})
	w.check(t, "list", listed, err)
	token := listed.Blocks[0].BlockToken
	paged, err := w.ListSnapshotBlocks(ctx, &ebs.ListSnapshotBlocksInput{SnapshotId: aws.String(unknown), MaxResults: aws.Int32(100)})
	if err != nil || paged.NextToken == nil {
		t.Fatalf("got %v, %v", paged, err)
	}
	paged, err = w.ListSnapshotBlocks(ctx, &ebs.ListSnapshotBlocksInput{SnapshotId: aws.String(unknown), MaxResults: aws.Int32(100), NextToken: paged.NextToken})
	w.check(t, "list-page", paged, err)
	changed, err := w.ListChangedBlocks(ctx, &ebs.ListChangedBlocksInput{FirstSnapshotId: aws.String(snapA), SecondSnapshotId: aws.String(snapB)})
	w.check(t, "changed", changed, err)

	got, err := w.GetSnapshotBlock(ctx, &ebs.GetSnapshotBlockInput{SnapshotId: aws.String(snapA), BlockIndex: aws.Int32(3), BlockToken: token})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(got.BlockData)
	if err != nil || len(body) != int(*got.DataLength) || block.Sum(body).Base64() != *got.Checksum {
		t.Errorf("got %d bytes, %v", len(body), err)
	}
	got.BlockData = nil
	w.check(t, "get", struct {
		DataLength        int32
		Checksum          string
		ChecksumAlgorithm string
	}{*got.DataLength, *got.Checksum, string(got.ChecksumAlgorithm)}, nil)

	_, err = w.GetSnapshotBlock(ctx, &ebs.GetSnapshotBlockInput{SnapshotId: aws.String(snapA), BlockIndex: aws.Int32(0), BlockToken: token})
	w.check(t, "get-wrong-token", nil, err)
	_, err = w.ListSnapshotBlocks(ctx, &ebs.ListSnapshotBlocksInput{SnapshotId: aws.String("snap-0aaaaaaaaaaaaaaaa")})
	w.check(t, "list-unknown", nil, err)
	_, err = w.ListSnapshotBlocks(ctx, &ebs.ListSnapshotBlocksInput{SnapshotId: aws.String(snapA), MaxResults: aws.Int32(1)})
	w.check(t, "list-few", nil, err)

	started, err := w.StartSnapshot(ctx, &ebs.StartSnapshotInput{
		VolumeSize: aws.Int64(8), Description: aws.String("d"), ClientToken: aws.String("token"), Timeout: aws.Int32(10),
		ParentSnapshotId: aws.String(snapA), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}},
	})
	w.check(t, "start", started, err)
	parent := f.drafts.started
	const key = "arn:aws:kms:us-east-1:" + account + ":key/11111111-2222-3333-4444-555555555555"
	encrypted, err := w.StartSnapshot(ctx, &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1), ClientToken: aws.String("other"), Encrypted: aws.Bool(true), KmsKeyArn: aws.String(key)})
	w.check(t, "start-encrypted", encrypted, err)
	f.drafts.err = &keyring.Error{Key: key, Reason: keyring.Disabled}
	encrypted, err = w.StartSnapshot(ctx, &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1), ClientToken: aws.String("third"), Encrypted: aws.Bool(true), KmsKeyArn: aws.String(key)})
	w.check(t, "start-disabled-key", encrypted, err)
	f.drafts.err, f.drafts.started = nil, parent
	put, err := w.PutSnapshotBlock(ctx, &ebs.PutSnapshotBlockInput{
		SnapshotId: aws.String(pendingS), BlockIndex: aws.Int32(7), BlockData: bytes.NewReader(body), DataLength: aws.Int32(block.Size),
		Checksum: got.Checksum, ChecksumAlgorithm: "SHA256", Progress: aws.Int32(40),
	})
	w.check(t, "put", put, err)
	_, err = w.PutSnapshotBlock(ctx, &ebs.PutSnapshotBlockInput{
		SnapshotId: aws.String(pendingS), BlockIndex: aws.Int32(7), BlockData: bytes.NewReader(body[:9]), DataLength: aws.Int32(block.Size),
		Checksum: got.Checksum, ChecksumAlgorithm: "SHA256",
	})
	w.check(t, "put-short", nil, err)
	completed, err := w.CompleteSnapshot(ctx, &ebs.CompleteSnapshotInput{
		SnapshotId: aws.String(pendingS), ChangedBlocksCount: aws.Int32(1), Checksum: got.Checksum,
		ChecksumAlgorithm: "SHA256", ChecksumAggregationMethod: "LINEAR",
	})
	w.check(t, "complete", completed, err)
	if d := f.drafts; d.put.Index != 7 || d.put.Progress != 40 || !bytes.Equal(d.put.Data, body) || d.want.Blocks != 1 || len(d.want.Checksum) != 32 ||
		d.started.Timeout != 10*time.Minute || d.started.Token != "token" || d.started.Digest == "" || d.started.Parent != snapA || len(d.started.Tags) != 1 {
		t.Errorf("the domain was asked for %+v, %d, %+v", d.started, d.put.Index, d.want)
	}
}
