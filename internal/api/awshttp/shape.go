package awshttp

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strconv"
)

// shapes write a fault in the form that each service's clients parse. A request for no
// service is answered as EC2's are, whose protocol is the one with `Action=`; for one that
// we do not have see absent.go.
var shapes = map[string]func(http.ResponseWriter, *Call, Fault){
	EC2:      failEC2,
	EBS:      failEBS,
	S3:       failS3,
	IAM:      failQuery,
	STS:      failQuery,
	KMS:      failJSON("application/x-amz-json-1.1"),
	Diskport: failJSON("application/json"),
}

func (c *Call) shape() string {
	if _, ok := shapes[c.Service]; ok {
		return c.Service
	}
	return EC2
}

func failEC2(w http.ResponseWriter, c *Call, f Fault) {
	type item struct{ Code, Message string }
	WriteXML(w, f.Status, struct {
		XMLName   xml.Name `xml:"Response"`
		Errors    []item   `xml:"Errors>Error"`
		RequestID string
	}{Errors: []item{{f.Code, f.Message}}, RequestID: c.RequestID})
}

func failQuery(w http.ResponseWriter, c *Call, f Fault) {
	kind, space := "Sender", "https://iam.amazonaws.com/doc/2010-05-08/"
	if f.Status >= 500 {
		kind = "Receiver"
	}
	if c.Service == STS {
		space = "https://sts.amazonaws.com/doc/2011-06-15/"
	}
	type detail struct{ Type, Code, Message string }
	WriteXML(w, f.Status, struct {
		XMLName   xml.Name `xml:"ErrorResponse"`
		Space     string   `xml:"xmlns,attr"`
		Error     detail
		RequestId string
	}{Space: space, Error: detail{kind, f.Code, f.Message}, RequestId: c.RequestID})
}

func failS3(w http.ResponseWriter, c *Call, f Fault) {
	w.Header().Set("X-Amz-Id-2", c.HostID())
	writeXML(w, f.Status, "application/xml", struct {
		XMLName                          xml.Name `xml:"Error"`
		Code, Message, RequestId, HostId string
	}{Code: f.Code, Message: f.Message, RequestId: c.RequestID, HostId: c.HostID()})
}

// failEBS writes an absent message or reason as null, as the real service does.
func failEBS(w http.ResponseWriter, _ *Call, f Fault) {
	w.Header().Set("X-Amzn-Errortype", f.Code)
	WriteJSON(w, f.Status, struct{ Message, Reason *string }{optional(f.Message), optional(f.Reason)})
}

func failJSON(contentType string) func(http.ResponseWriter, *Call, Fault) {
	return func(w http.ResponseWriter, _ *Call, f Fault) {
		w.Header().Set("X-Amzn-Errortype", f.Code)
		writeJSON(w, f.Status, contentType, struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}{f.Code, f.Message})
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// WriteXML answers with v as an XML document. v must be encodable.
func WriteXML(w http.ResponseWriter, status int, v any) {
	writeXML(w, status, "text/xml;charset=UTF-8", v)
}

func writeXML(w http.ResponseWriter, status int, contentType string, v any) {
	body, err := xml.Marshal(v)
	if err != nil {
		panic(err) // a type that encoding/xml can't take: a bug of the caller
	}
	write(w, status, contentType, append([]byte(xml.Header), body...))
}

// WriteJSON answers with v as a JSON document. v must be encodable.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	writeJSON(w, status, "application/json", v)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // as in WriteXML
	}
	write(w, status, contentType, body)
}

func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone needs no answer
}
