package metadb

import (
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/diskport/diskport/internal/span"
	"github.com/diskport/diskport/internal/work"
)

// TestUnitsKeepTheirTraces: a unit goes on with the trace of what made it, whoever claims it
// how often.
func TestUnitsKeepTheirTraces(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		tracer := span.NewTracer(sdktrace.NewTracerProvider())
		ctx, s := tracer.Serve(t.Context(), nil, "request")
		defer s.End(nil)
		if err := db.update(ctx, "add a unit", func(q querier) error { return db.addUnits(ctx, q, db.unit(work.Unit{Kind: work.Plan, Task: "traced"})) }); err != nil {
			t.Fatal(err)
		}
		must(t, db, func(q querier) error {
			return db.addUnits(t.Context(), q, db.unit(work.Unit{Kind: work.Plan, Task: "not traced"}))
		})
		for range 2 {
			now := time.Now().Add(time.Minute)
			got := map[string]string{}
			for range 2 {
				l, ok, err := db.Work().Claim(t.Context(), work.Claimer{Owner: "node", Kinds: []work.Kind{work.Plan}}, now)
				if err != nil || !ok {
					t.Fatal(ok, err)
				}
				got[l.Task] = l.Trace
			}
			if want := span.Parent(ctx); got["traced"] != want || want == "" || got["not traced"] != "" {
				t.Errorf("claimed with %q, want %q", got, want)
			}
			if err := db.Work().ExpireAll(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}
