package snapshot

import (
	"context"
	"errors"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/tag"
	volumes "github.com/diskport/diskport/internal/volume"
	"github.com/diskport/diskport/internal/work"
)

// VolumeSnapshots starts snapshots of volumes.
type VolumeSnapshots interface {
	// StartOfVolume stores d, as DraftRecords.Start does, beginning as its Volume, which is
	// in its home. It is one transaction. ErrTooMany when the account would have more
	// than limit copies and snapshots of volumes under way in the region;
	// volumes.ErrNotFound; volumes.ErrLost.
	StartOfVolume(ctx context.Context, d Draft, limit int) (Draft, error)
}

// EncryptVolume returns the ARN of the key that a volume is encrypted under, empty for
// none: as a copy of its snapshot would be, or, without one, as is asked for. The caller
// must be allowed to use the key for the volume, and to read the snapshot. ErrNotFound if
// there is no such snapshot that the account may use, ErrNotPending if it is not
// completed; *keyring.Error. The snapshot is returned, too.
func (d *Drafts) EncryptVolume(ctx context.Context, v volumes.Volume, who kms.Caller, e *Encryption, defaultKey string) (source Record, keyARN string, err error) {
	if v.Snapshot != "" {
		source, err = d.Records.Get(ctx, v.Region, v.Snapshot)
		if err == nil && !source.UsableBy(v.Account) {
			err = ErrNotFound
		}
		if err == nil && source.State != Completed {
			err = ErrNotPending
		}
		if err == nil {
			e, err = d.keyOfCopy(ctx, CopyRequest{Home: v.Home(), Caller: who, Encrypt: e, DefaultKey: defaultKey}, source)
		}
	}
	if err != nil || e == nil {
		return source, "", err
	}
	domain, _, err := d.Domains.NewSnapshot(ctx, who, e.Key, v.ID)
	return source, domain.KMSKey, err
}

// VolumeSnapshotRequest asks for a snapshot of a volume.
type VolumeSnapshotRequest struct {
	Home        awsid.Home
	Caller      kms.Caller // who must be allowed to use the volume's key
	Volume      volumes.Volume
	Description string
	Tags        tag.Set
}

// OfVolume makes a snapshot of a volume. Blocks are copied only if the volume is
// encrypted otherwise than the snapshot that it was made from. When the key can't be
// used, the snapshot is made and fails, as a copy does. ErrTooMany, volumes.ErrNotFound,
// volumes.ErrLost.
func (d *Drafts) OfVolume(ctx context.Context, r VolumeSnapshotRequest) (Record, error) {
	draft := Draft{Want: &Expected{Blocks: -1}, Record: Record{
		ID: d.IDs.Snapshot(), Account: r.Home.Account, Region: r.Home.Region, Description: r.Description,
		VolumeSize: r.Volume.Settings.Size, Volume: r.Volume.ID, Lineage: r.Volume.ID, Tags: r.Tags,
	}}
	var encrypt *Encryption
	if r.Volume.KMSKey != "" {
		encrypt = &Encryption{r.Volume.KMSKey}
	}
	err := d.house(ctx, &draft.Record, r.Caller, encrypt)
	var key *keyring.Error
	switch {
	case errors.As(err, &key):
		draft.Refused = msgKey
	case err != nil:
		return Record{}, err
	}
	stored, err := d.Volumes.StartOfVolume(ctx, draft.started(d.Now()), MaxPending)
	if err == nil {
		d.Bus.Wake(work.Due(work.Complete))
	}
	return stored.Record, err
}
