package adminapi

import "net/http"

func (e *Edge) listRegions(r *request) error {
	writeJSON(r.w, http.StatusOK, struct {
		Regions []string `json:"regions"`
	}{e.Regions.All()})
	return nil
}
