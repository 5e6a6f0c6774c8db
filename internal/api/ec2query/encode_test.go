package ec2query

import (
	"encoding/xml"
	"math"
	"strings"
	"testing"
	"time"
)

type tagOut struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

type taskOut struct {
	Description  string `xml:"description,omitempty"`
	ImportTaskID string `xml:"importTaskId"`
	Detail       struct {
		Description   string  `xml:"description,omitempty"`
		DiskImageSize Double  `xml:"diskImageSize"`
		Encrypted     *bool   `xml:"encrypted"`
		Format        *string `xml:"format"`
		Progress      string  `xml:"progress,omitempty"`
		Status        string  `xml:"status"`
		StatusMessage string  `xml:"statusMessage,omitempty"`
		UserBucket    *struct {
			S3Bucket string `xml:"s3Bucket"`
			S3Key    string `xml:"s3Key"`
		} `xml:"userBucket"`
	} `xml:"snapshotTaskDetail"`
	Started *Time        `xml:"startTime"`
	Tags    List[tagOut] `xml:"tagSet"`
}

const id = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"

// TestEncodeImport is the answer of contract §1.7, without the line breaks.
func TestEncodeImport(t *testing.T) {
	out := taskOut{Description: "d", ImportTaskID: "import-snap-0123456789abcdef0"}
	yes, format := true, "VHD"
	out.Detail.Description, out.Detail.Encrypted, out.Detail.Format = "dc", &yes, &format
	out.Detail.Progress, out.Detail.Status, out.Detail.StatusMessage = "0", "active", "pending"
	out.Detail.UserBucket = &struct {
		S3Bucket string `xml:"s3Bucket"`
		S3Key    string `xml:"s3Key"`
	}{"b", "k/y z.vhd"}
	out.Tags = List[tagOut]{{"K1", "V1"}, {"K2", ""}}
	golden(t, "ImportSnapshot", &out, `<ImportSnapshotResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
<requestId>`+id+`</requestId>
<description>d</description>
<importTaskId>import-snap-0123456789abcdef0</importTaskId>
<snapshotTaskDetail>
<description>dc</description>
<diskImageSize>0.0</diskImageSize>
<encrypted>true</encrypted>
<format>VHD</format>
<progress>0</progress>
<status>active</status>
<statusMessage>pending</statusMessage>
<userBucket><s3Bucket>b</s3Bucket><s3Key>k/y z.vhd</s3Key></userBucket>
</snapshotTaskDetail>
<tagSet><item><key>K1</key><value>V1</value></item><item><key>K2</key><value></value></item></tagSet>
</ImportSnapshotResponse>`)
}

// TestEncodeDescribe is the answer of contract §1.8, and its empty form.
func TestEncodeDescribe(t *testing.T) {
	type page struct {
		Tasks     List[taskOut] `xml:"importSnapshotTaskSet"`
		NextToken string        `xml:"nextToken,omitempty"`
	}
	task := taskOut{ImportTaskID: "import-snap-1", Started: OptionalTime(time.Date(2018, 11, 16, 20, 36, 51, 400999999, time.FixedZone("", 3600)))}
	task.Detail.DiskImageSize, task.Detail.Status = 3115815424, "completed"
	golden(t, "DescribeImportSnapshotTasks", page{Tasks: List[taskOut]{task}}, `<DescribeImportSnapshotTasksResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
<requestId>`+id+`</requestId>
<importSnapshotTaskSet><item>
<importTaskId>import-snap-1</importTaskId>
<snapshotTaskDetail><diskImageSize>3.115815424E9</diskImageSize><status>completed</status></snapshotTaskDetail>
<startTime>2018-11-16T19:36:51.400Z</startTime>
<tagSet></tagSet>
</item></importSnapshotTaskSet>
</DescribeImportSnapshotTasksResponse>`)
	golden(t, "DescribeImportSnapshotTasks", page{}, `<DescribeImportSnapshotTasksResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
<requestId>`+id+`</requestId>
<importSnapshotTaskSet></importSnapshotTaskSet>
</DescribeImportSnapshotTasksResponse>`)
}

func TestEncodeCancelAndDone(t *testing.T) {
	golden(t, "CancelImportTask", struct {
		ImportTaskID  string `xml:"importTaskId"`
		PreviousState string `xml:"previousState"`
		State         string `xml:"state"`
	}{"import-snap-<&>", "active", "deleting"}, `<CancelImportTaskResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
<requestId>`+id+`</requestId>
<importTaskId>import-snap-&lt;&amp;&gt;</importTaskId><previousState>active</previousState><state>deleting</state>
</CancelImportTaskResponse>`)
	golden(t, "CreateTags", Done{true}, `<CreateTagsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
<requestId>`+id+`</requestId><return>true</return></CreateTagsResponse>`)
}

func golden(t *testing.T, action string, out any, want string) {
	t.Helper()
	got, err := Encode(action, "2016-11-15", id, out)
	if err != nil {
		t.Fatal(err)
	}
	if want = xml.Header + strings.ReplaceAll(want, "\n", ""); string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEncodeHostileVersion(t *testing.T) {
	got, err := Encode("X", `"><a>`, "<>", Done{})
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		XMLName   xml.Name
		RequestID string `xml:"requestId"`
	}
	if err := xml.Unmarshal(got, &back); err != nil || back.RequestID != "<>" || back.XMLName.Local != "XResponse" {
		t.Errorf("%s: %+v, %v", got, back, err)
	}
}

func TestDouble(t *testing.T) {
	for _, c := range []struct {
		in   float64
		want string
	}{
		{0, "0.0"}, {512, "512.0"}, {1.5, "1.5"}, {0.001, "0.001"}, {0.00099, "9.9E-4"}, {9999999, "9999999.0"},
		{1e7, "1.0E7"}, {705638400, "7.056384E8"}, {3115815424, "3.115815424E9"}, {-1e-10, "-1.0E-10"},
		{math.Copysign(0, -1), "-0.0"}, {math.NaN(), "NaN"}, {math.Inf(1), "Infinity"}, {math.Inf(-1), "-Infinity"}, {1e300, "1.0E300"},
	} {
		if got := Double(c.in).String(); got != c.want {
			t.Errorf("%v: got %s, want %s", c.in, got, c.want)
		}
	}
	if OptionalTime(time.Time{}) != nil {
		t.Error("the zero time is not absent")
	}
}
