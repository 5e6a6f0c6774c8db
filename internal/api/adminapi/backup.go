package adminapi

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/store/backup"
)

// BackupRequest asks for a backup.
type BackupRequest struct {
	Place            string      `json:"place"` // as backup.ParsePlace reads it
	Credentials      Credentials `json:"credentials"`
	Keep             int         `json:"keep"` // as in backup.Options
	Check            bool        `json:"check"`
	Rate             int64       `json:"rate"` // likewise
	IncludeMasterKey bool        `json:"includeMasterKey"`
}

// Credentials are those for an S3.
type Credentials struct {
	AccessKeyID     string `json:"accessKeyId,omitempty"`
	SecretAccessKey string `json:"secretAccessKey,omitempty"`
	SessionToken    string `json:"sessionToken,omitempty"`
}

// Provider returns the credentials for the SDK; nil: there are none.
func (q BackupRequest) Provider() aws.CredentialsProvider {
	if c := q.Credentials; c.AccessKeyID != "" {
		return credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
	}
	return nil
}

// Thoroughness returns how thoroughly what is there is looked at.
func (q BackupRequest) Thoroughness() backup.Check {
	if q.Check {
		return backup.Checksums
	}
	return backup.Sizes
}

// backup makes a backup. It answers with events: progress now and then, and one result at
// the end.
func (e *Edge) backup(r *request) error {
	var q BackupRequest
	if err := json.Unmarshal(r.call.Body, &q); err != nil {
		return &failure{http.StatusBadRequest, "InvalidParameter", "the document is not that of a backup: " + err.Error()}
	}
	if _, err := backup.ParsePlace(q.Place); err != nil {
		return &failure{http.StatusBadRequest, "InvalidParameter", err.Error()}
	}
	if q.Keep < 0 || q.Rate < 0 {
		return &failure{http.StatusBadRequest, "InvalidParameter", "keep and rate must not be negative"}
	}
	stream := startEvents(r.w)
	report, err := e.Backup(r.Context(), q, e.teller(stream))
	if r.Context().Err() != nil {
		return nil
	}
	result := struct {
		Moment      string     `json:"moment,omitempty"`
		At          *time.Time `json:"at,omitempty"`
		Files       int64      `json:"files"`
		Bytes       int64      `json:"bytes"`
		Copied      int64      `json:"copiedFiles"`
		CopiedBytes int64      `json:"copiedBytes"`
		Again       []string   `json:"copiedAgain,omitempty"`
		Damaged     []string   `json:"damaged,omitempty"`
		Lost        []string   `json:"lost,omitempty"`
		Removed     int64      `json:"removedFiles"`
		Gone        int64      `json:"removedBackups"`
		Error       string     `json:"error,omitempty"`
	}{
		report.Moment, nil, report.Files, report.Bytes, report.Copied, report.CopiedBytes,
		report.Again, report.Damaged, report.Lost, report.Removed, report.Gone, "",
	}
	if report.Moment != "" {
		result.At = &report.At
	}
	if err != nil {
		e.Log.ErrorContext(r.Context(), "making a backup", logkey.Error, err)
		result.Error = err.Error() // it is the operator who asks
	}
	_ = stream.send("result", mustMarshal(result)) // the client may be gone
	return nil
}
