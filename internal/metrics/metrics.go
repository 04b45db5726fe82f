// Package metrics turns the parts' Stats() snapshots into Prometheus metrics, so that no part knows a metrics library.
//
// Names begin with the part (mixer_, sfu_, turn_, signaling_), carry base units (seconds, bytes) and _total for counters.
// No label grows with calls: rooms and participants are for logs and for the client's own statistics.
package metrics

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// group is the metrics of one part: a snapshot is taken once for each scrape, and everything is read from it.
type group[S any] struct {
	prefix   string
	snapshot func() S
	single   []single[S]
	vectors  []vector[S]
	hists    []histogram[S]
}

// single is a counter or gauge without labels.
type single[S any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(S) float64
}

// vector is a counter or gauge with one label, whose values are a fixed set.
type vector[S any] struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	values func(S) map[string]float64
}

// histogram is a distribution of durations.
type histogram[S any] struct {
	desc  *prometheus.Desc
	value func(S) durations
}

// durations is a histogram with upper bounds in seconds; the last count is of what lies above all of them.
type durations struct {
	bounds []float64
	counts []uint64
	sum    float64
}

func newGroup[S any](prefix string, snapshot func() S) *group[S] {
	return &group[S]{prefix: prefix, snapshot: snapshot}
}

func (g *group[S]) desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(g.prefix+"_"+name, help, labels, nil)
}

func (g *group[S]) counter(name, help string, value func(S) float64) {
	g.single = append(g.single, single[S]{g.desc(name, help), prometheus.CounterValue, value})
}

func (g *group[S]) gauge(name, help string, value func(S) float64) {
	g.single = append(g.single, single[S]{g.desc(name, help), prometheus.GaugeValue, value})
}

func (g *group[S]) counters(name, help, label string, values func(S) map[string]float64) {
	g.vectors = append(g.vectors, vector[S]{g.desc(name, help, label), prometheus.CounterValue, values})
}

func (g *group[S]) gauges(name, help, label string, values func(S) map[string]float64) {
	g.vectors = append(g.vectors, vector[S]{g.desc(name, help, label), prometheus.GaugeValue, values})
}

func (g *group[S]) histogram(name, help string, value func(S) durations) {
	g.hists = append(g.hists, histogram[S]{g.desc(name, help), value})
}

// Describe implements prometheus.Collector.
func (g *group[S]) Describe(out chan<- *prometheus.Desc) {
	for _, m := range g.single {
		out <- m.desc
	}
	for _, m := range g.vectors {
		out <- m.desc
	}
	for _, m := range g.hists {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (g *group[S]) Collect(out chan<- prometheus.Metric) {
	s := g.snapshot()
	for _, m := range g.single {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s))
	}
	for _, m := range g.vectors {
		for label, value := range m.values(s) {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, value, label)
		}
	}
	for _, m := range g.hists {
		d := m.value(s)
		buckets, below := make(map[float64]uint64, len(d.bounds)), uint64(0)
		for i, bound := range d.bounds {
			below += d.counts[i]
			buckets[bound] = below
		}
		total := below
		for _, count := range d.counts[min(len(d.bounds), len(d.counts)):] {
			total += count
		}
		out <- prometheus.MustNewConstHistogram(m.desc, total, d.sum, buckets)
	}
}

// processMetrics are about the process itself.
func processMetrics(version string) []prometheus.Collector {
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "parley_build_info", Help: "1; the labels say which version runs.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	}, func() float64 { return 1 })
	return []prometheus.Collector{
		build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}
}
