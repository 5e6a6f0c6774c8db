package adminapi

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// failure is an error in an answer.
type failure struct {
	status  int
	code    string
	message string
}

func (f *failure) Error() string { return f.code + ": " + f.message }

// asFailure maps an error of the domains to an answer. An error that is not known
// is internal: its cause goes only to the log.
func asFailure(err error) *failure {
	var f *failure
	var invalid *iam.ValidationError
	var fault awshttp.Fault
	var key *keyring.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, importtask.ErrNotFound):
		return &failure{http.StatusNotFound, "NoSuchTask", "there is no such import task"}
	case errors.Is(err, snapshot.ErrNotFound):
		return &failure{http.StatusNotFound, "NoSuchSnapshot", "there is no such snapshot"}
	case errors.As(err, &fault):
		return &failure{fault.Status, fault.Code, fault.Message}
	case errors.As(err, &key):
		return &failure{http.StatusForbidden, "KeyUnusable", "the KMS key of the snapshot cannot be used: " + string(key.Reason)}
	case errors.As(err, &invalid):
		return &failure{http.StatusBadRequest, "ValidationError", invalid.Message}
	case space.IsFull(err):
		full := awshttp.NoSpace(awshttp.Diskport, err)
		return &failure{http.StatusInsufficientStorage, "InsufficientStorage", full.Message}
	}
	return &failure{http.StatusInternalServerError, "InternalError", "an internal error has occurred"}
}

func writeError(w http.ResponseWriter, f *failure) {
	writeJSON(w, f.status, struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}{f.code, f.message})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("adminapi: marshalling an answer: " + err.Error()) // our own structs always marshal
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}
