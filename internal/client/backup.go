package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Backup asks for a backup.
type Backup struct {
	Place            string                  // a directory of the service's machine, or s3://BUCKET/PREFIX?endpoint=URL&region=REGION
	Credentials      aws.CredentialsProvider // for an S3
	Keep             int                     // backups that stay, with this one; 0: all
	Check            bool                    // read what is there already
	Rate             int64                   // bytes a second that are read; 0: no bound
	IncludeMasterKey bool
}

// BackedUp says what a backup did.
type BackedUp struct {
	Moment      string     `json:"moment,omitempty"` // its name
	At          *time.Time `json:"at,omitempty"`     // what was committed by then is in it
	Files       int64      `json:"files"`
	Bytes       int64      `json:"bytes"`
	Copied      int64      `json:"copiedFiles"`
	CopiedBytes int64      `json:"copiedBytes"`
	Again       []string   `json:"copiedAgain,omitempty"` // because they were damaged
	Damaged     []string   `json:"damaged,omitempty"`     // in the service
	Lost        []string   `json:"lost,omitempty"`        // by older backups
	Removed     int64      `json:"removedFiles"`
	Gone        int64      `json:"removedBackups"`
}

// Backup has the service make a backup, and calls progress now and then. It ends with ctx.
func (c *Client) Backup(ctx context.Context, b Backup, progress func(done, total int64)) (BackedUp, error) {
	type keys struct {
		AccessKeyID     string `json:"accessKeyId"`
		SecretAccessKey string `json:"secretAccessKey"`
		SessionToken    string `json:"sessionToken,omitempty"`
	}
	q := struct {
		Place            string `json:"place"`
		Credentials      *keys  `json:"credentials,omitempty"`
		Keep             int    `json:"keep"`
		Check            bool   `json:"check"`
		Rate             int64  `json:"rate"`
		IncludeMasterKey bool   `json:"includeMasterKey"`
	}{b.Place, nil, b.Keep, b.Check, b.Rate, b.IncludeMasterKey}
	if b.Credentials != nil {
		k, err := b.Credentials.Retrieve(ctx)
		if err != nil {
			return BackedUp{}, fmt.Errorf("finding credentials for %s: %w", b.Place, err)
		}
		q.Credentials = &keys{k.AccessKeyID, k.SecretAccessKey, k.SessionToken}
	}
	body, err := json.Marshal(q)
	if err != nil {
		return BackedUp{}, fmt.Errorf("asking for a backup: %w", err)
	}
	return outcome[BackedUp]("backing up", func(result any) error {
		return c.followWith(ctx, http.MethodPost, "backup", body, result, progress)
	})
}
