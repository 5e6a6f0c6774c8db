package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestTraces(t *testing.T) {
	tests := map[string]struct {
		flag string
		env  map[string]string
		want traceSettings
		err  string
	}{
		"off":                {},
		"a flag":             {flag: "http://x:4318", want: traceSettings{URL: "http://x:4318/v1/traces"}},
		"a flag with a path": {flag: "https://x/y?token=z", want: traceSettings{URL: "https://x/y?token=z"}},
		"a base": {
			env:  map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318/base/", "OTEL_EXPORTER_OTLP_HEADERS": "a=b%20c, d=e", "OTEL_EXPORTER_OTLP_TIMEOUT": "500"},
			want: traceSettings{URL: "http://x:4318/base/v1/traces", Headers: map[string]string{"a": "b c", "d": "e"}, Timeout: 500 * time.Millisecond},
		},
		"for traces alone": {
			env: map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://y/z", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
				"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
			},
			want: traceSettings{URL: "http://y/z"},
		},
		"a flag is stronger": {
			flag: "http://x/y", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://z", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_SDK_DISABLED": "true"},
			want: traceSettings{URL: "http://x/y"},
		},
		"disabled":        {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}},
		"not for traces":  {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}},
		"gRPC":            {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, err: "http/protobuf"},
		"no URL":          {flag: "x:4318", err: "http or https"},
		"no headers":      {flag: "http://x", env: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "hidden"}, err: "name=value"},
		"no timeout":      {flag: "http://x", env: map[string]string{"OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}, err: "milliseconds"},
		"no certificates": {flag: "http://x", env: map[string]string{"OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere"}, err: "CERTIFICATE"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for name, v := range tt.env {
				t.Setenv(name, v)
			}
			got, err := (&serviceFlags{TraceEndpoint: tt.flag}).traces()
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "hidden") {
					t.Errorf("got %v, want an error about %s", err, tt.err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}
