package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	transfertypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"

	"github.com/diskport/diskport/scripts/benchproc"
)

const (
	keyID  = "AKIABENCH00000000000"
	secret = "bench-secret-bench-secret-bench-secret00"
)

// service is a diskport serve with a bucket.
type service struct {
	cmd      *exec.Cmd
	data     string
	client   *s3.Client
	unsigned *s3.Client // signs no SHA-256 of bodies
	bucket   *string
	key      string // of its KMS
}

func (b *bench) serve(ctx context.Context) (*service, error) {
	s := &service{data: filepath.Join(b.dir, "service-s3"), bucket: aws.String("bench")}
	if err := os.RemoveAll(s.data); err != nil {
		return nil, err
	}
	s.cmd = exec.CommandContext(ctx, b.bin, "serve", "--listen", "127.0.0.1:0", "--data", s.data, "--log-level", "error")
	s.cmd.Env = append(os.Environ(), "DISKPORT_ROOT_ACCESS_KEY_ID="+keyID, "DISKPORT_ROOT_SECRET_ACCESS_KEY="+secret)
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("diskport serve said nothing: %w", err)
	}
	endpoint := strings.TrimSpace(strings.TrimPrefix(line, "Listening on:"))
	who := credentials.NewStaticCredentialsProvider(keyID, secret, "")
	s.client = s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: &endpoint, UsePathStyle: true, Credentials: who})
	s.unsigned = s3.New(s.client.Options(), s3.WithAPIOptions(unsigned))
	made, err := kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: &endpoint, Credentials: who}).CreateKey(ctx, &kms.CreateKeyInput{})
	if err == nil {
		s.key = *made.KeyMetadata.Arn
		_, err = s.client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: s.bucket})
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// unsigned makes the SDK sign no SHA-256 of bodies, which takes both sides more CPU than
// all else: over https it never does.
func unsigned(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("unsigned", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		return next.HandleInitialize(v4.SetPayloadHash(ctx, "UNSIGNED-PAYLOAD"), in)
	}), middleware.After)
}

// stop ends the service.
func (s *service) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = s.cmd.Wait()
	_ = os.RemoveAll(s.data)
}

// repeated is n bytes that are one part again and again.
type repeated struct {
	part []byte
	n    int64
	at   int64
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.at == r.n {
		return 0, io.EOF
	}
	within := r.at % int64(len(r.part))
	n := copy(p[:min(int64(len(p)), r.n-r.at)], r.part[within:])
	r.at += int64(n)
	return n, nil
}

func (s *service) upload(ctx context.Context, k kind, object string, size int64, part []byte) error {
	tm := transfermanager.New(k.client, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold, o.Concurrency = partSize, partSize, inFlight
	})
	in := &transfermanager.UploadObjectInput{Bucket: s.bucket, Key: &object, Body: &repeated{part: part, n: size}}
	if k.key != "" {
		in.ServerSideEncryption, in.SSEKMSKeyID = transfertypes.ServerSideEncryptionAwsKms, &k.key
	}
	_, err := tm.UploadObject(ctx, in)
	return err
}

// download reads an object in one stream, into nothing.
func (s *service) download(ctx context.Context, object string, size int64) error {
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: s.bucket, Key: &object})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, out.Body, make([]byte, mib))
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes came, not %d", n, size)
	}
	return err
}

// cost runs fn and returns what it took.
func (s *service) cost(fn func() error) (cost, error) {
	before, err := s.process().CPU()
	if err != nil {
		return cost{}, err
	}
	begun, own := time.Now(), ownCPU()
	if err := fn(); err != nil {
		return cost{}, err
	}
	c := cost{wall: time.Since(begun), client: ownCPU() - own}
	after, err := s.process().CPU()
	c.cpu = after - before
	return c, err
}

// ownCPU returns the CPU time that this program has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // never fails for oneself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (s *service) process() benchproc.Process { return benchproc.Process(s.cmd.Process.Pid) }
