package metadb

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestJSONColumns compares what each column holds of a value, in which every field is
// set, with its golden encoding, both ways. A failure means that rows of the last
// release would be misread: see the rule in the package comment.
func TestJSONColumns(t *testing.T) {
	const (
		counts = `{"source":1,"done":2,"data":3,"zero":4,"dedup":5,"stored":6}`
		tags   = `[{"Key":"a","Value":"b"}]`
		when   = `"2026-01-02T03:04:05Z"`
	)
	golden(t, taskFailure, `{"message":"a","reason":"b","detail":"c","offset":1,"hint":"d"}`)
	golden(t, taskRanges, `[{"first":1,"pages":2,"bytes":3}]`)
	golden(t, taskCounts, counts)
	golden(t, taskWarnings, `["a"]`)
	golden(t, taskSnapshotTags, tags)
	golden(t, taskMachine, `{"architecture":"a","bootMode":"b","guest":"c","empty":1}`)
	golden(t, imageTaskSpec, `{"description":"a","architecture":"b","bootMode":"c","platform":"d","hypervisor":"e","licenseType":"f","licenseConfigurations":["g"],`+
		`"usageOperation":"h","roleName":"i","encrypted":true,"kmsKey":"j","given":[{"container":1,"snapshot":"k","device":"l","description":"m"}]}`)
	golden(t, imageTaskFailure, `{"message":"a","reason":"b","detail":"c","offset":1,"hint":"d"}`)
	golden(t, unitProgress, counts)
	golden(t, imageBody, `{"ID":"a","Account":"b","Name":"c","Description":"d","Architecture":"e","RootDevice":"f","Virtualization":"g","SriovNet":"h",`+
		`"BootMode":"i","TpmSupport":"j","ImdsSupport":"k","EnaSupport":true,"Devices":[{"Name":"l","VirtualName":"m","Snapshot":"n","VolumeSize":1,`+
		`"VolumeType":"o","Iops":2,"Throughput":3,"DeleteOnTermination":true,"Encrypted":true}],"Created":`+when+`,`+
		`"Location":"p","Kernel":"q","Ramdisk":"r","UefiData":"s","BillingProducts":["t"],"SourceImage":"u","SourceRegion":"v","Platform":"w","UsageOperation":"x"}`)
	const settings = `{"size":1,"type":"a","iops":2,"throughput":3,"multiAttach":true}`
	golden(t, volumeSettings, settings)
	golden(t, volumeModified, `{"from":`+settings+`,"to":{"size":4,"type":"b","iops":5,"throughput":6,"multiAttach":true},"at":`+when+`}`)
	golden(t, userTags, tags)
	golden(t, roleTags, tags)
	golden(t, profileTags, tags)
	golden(t, policyTags, tags)
	golden(t, policyVersions, `[{"Number":1,"Document":"a","Created":`+when+`}]`)
	golden(t, keyTags, tags)
	golden(t, keyRotations, `[{"At":`+when+`,"Type":"a","Wrapped":"AQ=="}]`)
	golden(t, grantContent, `{"Key":{"Account":"a","Region":"b","ID":"c"},"ID":"d","Name":"e","Grantee":"f","Retiring":"g","Issuer":"h","Operations":["i"],`+
		`"Equals":{"j":"k"},"Subset":{"l":"m"},"Created":`+when+`}`)
	const (
		metadata = `{"ContentType":"a","ContentEncoding":"b","ContentDisposition":"c","ContentLanguage":"d","CacheControl":"e","Expires":"f",` +
			`"Redirect":"g","StorageClass":"h","User":{"i":"j"}}`
		encryption = `{"Algorithm":"a","Key":"b","Context":"c","BucketKey":true,"DataKey":"AQ=="}`
	)
	golden(t, s3Metadata, metadata)
	golden(t, s3Tags, tags)
	golden(t, s3Encryption, encryption)
	golden(t, s3UploadBody, `{"Algorithm":"a","ChecksumType":"b","Metadata":{"ContentType":"c","ContentEncoding":"d","ContentDisposition":"e","ContentLanguage":"f",`+
		`"CacheControl":"g","Expires":"h","Redirect":"i","StorageClass":"j","User":{"k":"l"}},"Tags":[{"Key":"m","Value":"n"}],`+
		`"Encryption":{"Algorithm":"o","Key":"p","Context":"q","BucketKey":true,"DataKey":"AQ=="}}`)
	golden(t, s3Completion, `{"Version":"a","ETag":"b","Size":1,"Modified":2,"Parts":3,"Checksum":"c",`+
		`"Encryption":{"Algorithm":"d","Key":"e","Context":"f","BucketKey":true,"DataKey":"BA=="}}`)
	golden(t, outboxDetail, `{"snapshot":"a","reason":"b","message":"c","added":["d"],"removed":["e"],"image":"f","part":"g","advice":"h","free":1,`+
		`"started":"2026-01-02T03:04:05Z","copyOf":"i","copyRegion":"j","volume":"k"}`)
}

func golden[T any](t *testing.T, c jsonColumn[T], want string) {
	t.Helper()
	var v, back T
	hasNames(t, reflect.TypeFor[T]())
	(&filler{}).fill(reflect.ValueOf(&v).Elem())
	got, err := c.text(v)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%s: %v (-want +got):\n%s", c, err, diff)
	}
	if err := c.read(want, &back); err != nil || !reflect.DeepEqual(v, back) {
		t.Errorf("%s: read %+v, %v, want %+v", c, back, err, v)
	}
	if strings.HasPrefix(got, envelopeStart) {
		t.Errorf("%s: a value of version 1 looks like an envelope", c)
	}
	var newer *VersionError
	err = c.read(`{"version":2,"value":{"whatever":[]}}`, &back)
	if !errors.As(err, &newer) || newer.Version != 2 || !strings.Contains(err.Error(), string(c)) {
		t.Errorf("%s of version 2: got %v", c, err)
	}
	if err := c.read(`{"version":`, &back); err == nil || errors.As(err, new(*VersionError)) {
		t.Errorf("%s: half an envelope: got %v", c, err)
	}
	if err := c.read(got[:len(got)-1], &back); err == nil || !strings.Contains(err.Error(), string(c)) {
		t.Errorf("%s cut short: got %v", c, err)
	}
}

// filler sets every field that is stored, each to a different value.
type filler struct{ texts, numbers int }

func (f *filler) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(string(rune('a' + f.texts)))
		f.texts++
	case reflect.Int, reflect.Int64:
		f.numbers++
		v.SetInt(int64(f.numbers))
	case reflect.Uint8:
		f.numbers++
		v.SetUint(uint64(f.numbers))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		f.fill(v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		f.fill(key)
		f.fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() && field.Tag.Get("json") != "-" {
				f.fill(v.Field(i))
			}
		}
	default:
		panic("a field of a kind that no column has had: " + v.Kind().String())
	}
}

// hasNames checks that every field of a stored value has its name in a tag, so that
// renaming it in Go changes no row.
func hasNames(t *testing.T, typ reflect.Type) {
	t.Helper()
	switch typ.Kind() {
	case reflect.Slice, reflect.Map:
		hasNames(t, typ.Elem())
	case reflect.Struct:
		if typ == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range typ.NumField() {
			f := typ.Field(i)
			if !f.IsExported() {
				continue // nor is it stored
			}
			if f.Tag.Get("json") == "" {
				t.Errorf("%s.%s has no json tag", typ, f.Name)
			}
			if f.Tag.Get("json") != "-" {
				hasNames(t, f.Type)
			}
		}
	}
}
