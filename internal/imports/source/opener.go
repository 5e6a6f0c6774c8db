package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/imports/bucketpolicy"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/store/keyring"
)

// Object is pinned bytes opened for reading. ReadAt, Size and Check may be
// called concurrently. An Object that knows its holes is a
// diskimage.SparseReaderAt too.
type Object interface {
	io.ReaderAt
	io.Closer
	Size() int64 // bytes
	// Check fails with ErrChanged if the bytes may not be those that were
	// pinned. It is called before what was read is committed.
	Check() error
}

// Opener finds, pins and opens sources. Its methods may be called concurrently.
type Opener struct {
	Objects   *objects.Service // nil: there is no embedded S3
	Buckets   *bucketpolicy.Judge
	Foreign   *ForeignS3 // nil where the embedded S3 is the only one
	Handovers *Handovers
	Keys      iam.AccessKeys
	// Encryption says who may open objects of the embedded S3 that are encrypted under
	// keys of a KMS; nil where there is none.
	Encryption Encryption
	Region     string // of imports whose pins name none: they are older

	AllowSigV2 bool // take presigned Urls of signature version 2
}

// Encryption says who may use keys of a KMS. ssekms.Keys implements it.
type Encryption interface {
	// MayDecrypt returns a *keyring.Error unless who may open the data key of e.
	MayDecrypt(ctx context.Context, who kms.Caller, e objects.Encryption) error
}

// Resolve is ParseLocation for this service: it fails with ErrRegion for a Url of
// another region than the import's, and with ErrLocation for a token that was not
// handed out.
func (o *Opener) Resolve(ctx context.Context, req Request) (Location, error) {
	if o.Foreign != nil {
		req.Endpoint = o.Foreign.endpoint
	}
	loc, err := ParseLocation(req)
	if err == nil && loc.Kind == Embedded && o.Objects == nil {
		err = refuse("this service has no S3 of its own: give the address of the bucket in the one that it imports from")
	}
	if err == nil && loc.Kind == Foreign && loc.named && !loc.Presigned && o.Objects != nil {
		var own bool
		if own, err = o.owns(ctx, req.Account, loc.Bucket); own {
			loc.Kind = Embedded // an account's own bucket here comes before what is elsewhere
		}
	}
	switch {
	case err != nil:
		return Location{}, err
	case loc.Region != "" && loc.Region != req.Region:
		return Location{}, fmt.Errorf("%w: %s", ErrRegion, loc.Region)
	case loc.Kind == Handover && !o.Handovers.known(loc.token):
		return Location{}, refuse("nothing was handed over")
	}
	if loc.Kind == Embedded {
		loc.owner, err = o.ownerOf(ctx, loc.Bucket)
		if err == nil {
			var found objects.Object
			found, err = o.object(ctx, loc.Bucket, loc.Key)
			loc.content = found.Content
		}
	}
	return loc, err
}

// object returns an object of the embedded S3, or the zero Object if there is none.
func (o *Opener) object(ctx context.Context, bucket, key string) (objects.Object, error) {
	found, err := o.Objects.Object(ctx, bucket, key, "")
	if errors.Is(err, objects.ErrNoSuchBucket) || errors.Is(err, objects.ErrNoSuchObject) {
		return objects.Object{}, nil
	}
	return found, err
}

// judged returns the object at loc for policies and keys to be asked about, if it is still
// the one that Resolve saw; else ErrNoAccess.
func (o *Opener) judged(ctx context.Context, loc Location) (objects.Object, error) {
	found, err := o.object(ctx, loc.Bucket, loc.Key)
	if err == nil {
		err = loc.same(found.Content)
	}
	return found, err
}

// same fails with ErrNoAccess unless content is that of the object that Resolve saw. What
// policies and keys say of one object must not let anybody read another.
func (loc Location) same(content objects.ContentID) error {
	if content != loc.content {
		return fmt.Errorf("s3://%s/%s was replaced while it was asked about: %w", loc.Bucket, loc.Key, ErrNoAccess)
	}
	return nil
}

// owns reports whether an account has a bucket of the embedded S3.
func (o *Opener) owns(ctx context.Context, account, bucket string) (bool, error) {
	owner, err := o.ownerOf(ctx, bucket)
	return owner == account, err
}

// ownerOf returns the account of a bucket of the embedded S3, or "" if there is none.
func (o *Opener) ownerOf(ctx context.Context, bucket string) (string, error) {
	b, err := o.Objects.Bucket(ctx, bucket)
	if errors.Is(err, objects.ErrNoSuchBucket) {
		return "", nil
	}
	return b.Account, err
}

// Pin keeps the bytes at loc under the name id until Release; they are durable when
// it returns. It checks that a presigned Url is valid, and that the bucket is in the
// region of the import, and fails with ErrNotFound, ErrNoAccess or ErrRegion; policies
// about the caller and the role, which may let them into another account's bucket, are
// checked between Resolve and Pin. Bytes of a foreign S3 can't be kept, only recognised: their
// Pin may fail with ErrRole and ErrUnavailable too.
func (o *Opener) Pin(ctx context.Context, id string, loc Location) (Pin, error) {
	if loc.Kind == Handover {
		pin, err := o.Handovers.pin(id, loc.token)
		if err != nil {
			return Pin{}, fmt.Errorf("pinning a handed-over file: %w", err)
		}
		return pin, nil
	}
	if loc.Kind == Foreign {
		return o.Foreign.pin(ctx, id, loc)
	}
	bucket, missing := o.Objects.Bucket(ctx, loc.Bucket)
	if loc.Presigned { // whoever can't sign is not told what there is
		if err := o.presigner(ctx, loc, cmp.Or(bucket.Region, loc.within)); err != nil {
			return Pin{}, fmt.Errorf("checking the Url of %s/%s: %w", loc.Bucket, loc.Key, err)
		}
	}
	if missing != nil {
		return Pin{}, translate(missing)
	}
	if bucket.Account != loc.owner {
		return Pin{}, fmt.Errorf("bucket %s was made while it was asked about: %w", loc.Bucket, ErrNoAccess)
	}
	if loc.within != bucket.Region {
		return Pin{}, fmt.Errorf("bucket %s: %w: %s", loc.Bucket, ErrRegion, bucket.Region)
	}
	pinned, err := o.Objects.Pin(ctx, loc.Bucket, loc.Key, "", id)
	if err != nil {
		return Pin{}, translate(err)
	}
	if err := loc.same(pinned.Content); err != nil {
		return Pin{}, errors.Join(err, o.Objects.Release(context.WithoutCancel(ctx), id))
	}
	return Pin{
		Kind: Embedded, ID: id, Bucket: loc.Bucket, Key: loc.Key,
		ETag: `"` + pinned.ETag + `"`, Size: pinned.Size, Modified: pinned.Modified.UnixNano(),
	}, nil
}

// presigner verifies a presigned Url. The principal that signed it must itself be allowed
// to read the object; region is the bucket's.
func (o *Opener) presigner(ctx context.Context, loc Location, region string) error {
	keyID, token, verify, err := o.signature(loc, region)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoAccess, err)
	}
	who, secret, err := o.Keys.Lookup(ctx, keyID, token)
	if errors.Is(err, iam.ErrUnknownKey) || errors.Is(err, iam.ErrExpiredToken) {
		return fmt.Errorf("%w: %w", ErrNoAccess, err)
	}
	if err != nil {
		return err
	}
	if err := verify(secret); err != nil {
		return fmt.Errorf("%w: %w", ErrNoAccess, err)
	}
	origin := loc.origin
	origin.Time, origin.Region = loc.now, region
	if err := o.MayRead(ctx, who, loc, origin.Context()); err != nil {
		return err
	}
	if err := o.MayDecrypt(ctx, who, loc, origin.Context()); err != nil || !errors.Is(loc.signErr, sigv4.ErrV2) {
		return err
	}
	found, err := o.judged(ctx, loc)
	if err == nil && found.Encryption.Encrypted() {
		err = fmt.Errorf("%w: what a key of a KMS protects is not for signatures of version 2", ErrNoAccess) // as in S3
	}
	return err
}

var errElsewhere = errors.New("signed for another service or region")

// signature returns the key that a presigned Url claims to be signed with, and a
// function that verifies the signature, which must be for the bucket's region.
func (o *Opener) signature(loc Location, region string) (keyID, token string, verify func(sigv4.Secret) error, err error) {
	if o.AllowSigV2 && errors.Is(loc.signErr, sigv4.ErrV2) {
		q := loc.signedV2
		return q.AccessKeyID, q.SessionToken, func(secret sigv4.Secret) error { return q.Verify(secret, loc.now) }, loc.v2Err
	}
	q := loc.signed
	if loc.signErr == nil && (q.Service != "s3" || q.Region != region) {
		return "", "", nil, errElsewhere
	}
	return q.AccessKeyID, q.SessionToken, func(secret sigv4.Secret) error { return q.Verify(secret, loc.now, "") }, loc.signErr
}

// Open opens pinned bytes. The caller closes the Object. It fails with
// ErrChanged, ErrNotFound (released, or gone), ErrKey or ErrOrphaned.
func (o *Opener) Open(ctx context.Context, p Pin) (Object, error) {
	switch p.Kind {
	case Handover:
		opened, err := o.Handovers.open(p)
		if err != nil {
			return nil, fmt.Errorf("opening handed-over %s: %w", p.Path, err)
		}
		return opened, nil
	case Embedded:
		return o.openEmbedded(ctx, p)
	case Foreign:
		if o.Foreign == nil {
			return nil, fmt.Errorf("opening s3://%s/%s: no foreign S3 is configured any more: %w", p.Bucket, p.Key, ErrNotFound)
		}
		p.Region = cmp.Or(p.Region, o.Region) // older pins have none
		return o.Foreign.open(ctx, p)
	}
	return nil, fmt.Errorf("opening pin %s: unknown kind %q", p.ID, p.Kind)
}

func (o *Opener) openEmbedded(ctx context.Context, p Pin) (Object, error) {
	r, err := o.Objects.OpenPin(ctx, p.ID)
	if err != nil {
		return nil, translate(err)
	}
	if r.Size() != p.Size {
		err := fmt.Errorf("pin %s has %d bytes, not %d: %w", p.ID, r.Size(), p.Size, ErrChanged)
		return nil, errors.Join(err, r.Close())
	}
	return pinned{r}, nil
}

// Release drops a pin. Dropping one twice succeeds.
func (o *Opener) Release(ctx context.Context, p Pin) error {
	switch p.Kind {
	case Handover:
		return o.Handovers.release(p.ID)
	case Embedded:
	default:
		return nil
	}
	return o.Objects.Release(ctx, p.ID)
}

// Sweep releases the pins that keep doesn't keep: those of a process that died
// between pinning and creating the task. Call it before requests are served.
func (o *Opener) Sweep(ctx context.Context, keep func(id string) bool) error {
	handed := o.Handovers.sweep(keep)
	if o.Objects == nil {
		return handed // nothing is pinned elsewhere
	}
	ids, err := o.Objects.Pins(ctx)
	err = errors.Join(handed, err)
	for _, id := range ids {
		if !keep(id) {
			err = errors.Join(err, o.Objects.Release(ctx, id))
		}
	}
	return err
}

// translate turns the object store's errors into this package's.
func translate(err error) error {
	switch {
	case errors.Is(err, objects.ErrNoSuchBucket), errors.Is(err, objects.ErrNoSuchObject), errors.Is(err, objects.ErrNoSuchPin),
		errors.Is(err, objects.ErrKey):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, objects.ErrChanged):
		return fmt.Errorf("%w: %w", ErrChanged, err)
	}
	if _, final := errors.AsType[*keyring.Error](err); final {
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
	return err
}

// pinned is an object of the embedded S3 as an Object.
type pinned struct{ *objects.Reader }

// Check implements Object: pieces are written once, so what a pin names can't change. It says
// nothing about bits that the disk has lost. Of an encrypted object no read returns
// any; those of others are found by what reads whole pieces (objects.Service.VerifyObjects).
func (pinned) Check() error { return nil }

// object is a file on this machine as an Object.
type object struct{ *objects.File }

// Check implements Object.
func (o object) Check() error { return translate(o.File.Check()) }

var _, _ interface {
	Object
	diskimage.SparseReaderAt
} = pinned{}, object{}
