package server

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/span"
)

// countedSources counts the bytes that this process reads from sources, including
// those for work that fails or is repeated: that is what an operator pays for, and
// what a restart costs.
type countedSources struct {
	*source.Opener
	bytes prometheus.Counter
}

func countSources(o *source.Opener, reg prometheus.Registerer) countedSources {
	c := countedSources{o, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "diskport_source_bytes_total",
		Help: "Bytes read from the sources of imports by this process.",
	})}
	reg.MustRegister(c.bytes)
	return c
}

// Open opens a pinned source whose reads are counted.
func (c countedSources) Open(ctx context.Context, p source.Pin) (source.Object, error) {
	o, err := c.Opener.Open(ctx, p)
	if err != nil {
		return nil, err
	}
	counted := countedObject{o, c.bytes, ctx}
	if sparse, ok := o.(diskimage.SparseReaderAt); ok {
		return sparseObject{counted, sparse}, nil
	}
	return counted, nil
}

type countedObject struct {
	source.Object
	bytes prometheus.Counter
	ctx   context.Context // of its reads, as that of the object
}

func (o countedObject) ReadAt(p []byte, off int64) (int, error) {
	_, traced := span.Start(o.ctx, "source read")
	traced.Number(span.Offset, off)
	traced.Number(span.Bytes, int64(len(p)))
	n, err := o.Object.ReadAt(p, off)
	traced.End(err)
	o.bytes.Add(float64(n))
	return n, err
}

// sparseObject is a counted object that knows its holes.
type sparseObject struct {
	countedObject
	sparse diskimage.SparseReaderAt
}

var _ diskimage.SparseReaderAt = sparseObject{}

// NextData implements diskimage.SparseReaderAt.
func (o sparseObject) NextData(off int64) (start, end int64, err error) {
	return o.sparse.NextData(off)
}
