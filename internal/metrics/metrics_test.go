package metrics

import (
	"fmt"
	"io"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"parley/mixer"
	"parley/sfu"
	"parley/signaling"
	"parley/turn"
)

// scrape reads what Prometheus would.
func scrape(t *testing.T, r *prometheus.Registry) string {
	t.Helper()
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(rec.Body)
	if err != nil || rec.Code != 200 {
		t.Fatalf("%d %v %s", rec.Code, err, body)
	}
	return string(body)
}

func only(c prometheus.Collector) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	return r
}

// everyFieldCounts changes each field of a snapshot in turn; the page must change, or somebody has added a figure that
// nobody can see.
func everyFieldCounts[S any](t *testing.T, collector func(func() S) *group[S], base S) {
	t.Helper()
	current := base
	r := only(collector(func() S { return current }))
	before := scrape(t, r)
	for i := range reflect.TypeFor[S]().NumField() {
		current = base
		field := reflect.ValueOf(&current).Elem().Field(i)
		name := fmt.Sprintf("%T.%s", base, reflect.TypeFor[S]().Field(i).Name)
		switch field.Kind() {
		case reflect.Int, reflect.Int64:
			field.SetInt(field.Int() + 7)
		case reflect.Uint64:
			field.SetUint(field.Uint() + 7)
		case reflect.Float64:
			field.SetFloat(field.Float() + 7)
		case reflect.Map:
			field.Set(reflect.ValueOf(map[string]uint64{"something": 7}))
		case reflect.Slice:
			field.Set(reflect.ValueOf([]int{7}))
		case reflect.Array:
			if stages, ok := field.Addr().Interface().(*[mixer.Stages]mixer.Histogram); ok {
				for i := range stages {
					page := scrape(t, r)
					stages[i] = mixer.Histogram{Bounds: []time.Duration{time.Millisecond}, Counts: []uint64{3, 4}, Count: 7, Sum: time.Second}
					if scrape(t, r) == page {
						t.Errorf("%s[%d] is in no metric", name, i)
					}
				}
				break
			}
			field.Index(0).SetUint(7)
		case reflect.Struct:
			if field.Type() == reflect.TypeFor[mixer.NetEqTotals]() {
				continue // a group of its own, below
			}
			field.Set(reflect.ValueOf(mixer.Histogram{Bounds: []time.Duration{time.Millisecond}, Counts: []uint64{3, 4}, Count: 7, Sum: time.Second}))
		default:
			t.Fatalf("%s: a %s has no test", name, field.Kind())
		}
		if scrape(t, r) == before {
			t.Errorf("%s is in no metric", name)
		}
	}
}

func TestEveryFieldIsAMetric(t *testing.T) {
	everyFieldCounts(t, mixerMetrics, mixer.Stats{})
	everyFieldCounts(t, neteqMetrics, mixer.NetEqTotals{})
	everyFieldCounts(t, sfuMetrics, sfu.NodeStats{})
	everyFieldCounts(t, signalingMetrics, signaling.Stats{})
	everyFieldCounts(t, turnMetrics, turn.Stats{})
}

func TestHistogramIsCumulative(t *testing.T) {
	page := scrape(t, only(mixerMetrics(func() mixer.Stats {
		return mixer.Stats{Lateness: mixer.Histogram{
			Bounds: []time.Duration{time.Millisecond, 5 * time.Millisecond}, Counts: []uint64{3, 2, 1}, Count: 6, Sum: 1500 * time.Millisecond,
		}}
	})))
	for _, want := range []string{
		`mixer_tick_lateness_seconds_bucket{le="0.001"} 3`, `mixer_tick_lateness_seconds_bucket{le="0.005"} 5`,
		`mixer_tick_lateness_seconds_bucket{le="+Inf"} 6`, "mixer_tick_lateness_seconds_sum 1.5\n", "mixer_tick_lateness_seconds_count 6\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("lacks %s in:\n%s", want, page)
		}
	}
}

func TestLabels(t *testing.T) {
	page := scrape(t, NewRegistry(Sources{
		Version: "v1",
		SFU: func() sfu.NodeStats {
			return sfu.NodeStats{Dropped: map[string]uint64{"codec": 4}, PortLoads: []int{2, 3}}
		},
		TURN: func() turn.Stats { return turn.Stats{Dropped: map[string]uint64{"relay_peer": 5}} },
	}))
	for _, want := range []string{
		`sfu_dropped_packets_total{reason="codec"} 4`, `sfu_port_peers{port="1"} 3`, `turn_dropped_total{reason="relay_peer"} 5`,
		`version="v1"`, "go_goroutines ", "process_open_fds ",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("lacks %s", want)
		}
	}
	if strings.Contains(page, "mixer_") {
		t.Error("a part that does not run has metrics")
	}
}

// Names keep to Prometheus' conventions: base units, _total for counters, a help text.
func TestNames(t *testing.T) {
	page := scrape(t, NewRegistry(Sources{
		Mixer: func() mixer.Stats { return mixer.Stats{} }, SFU: func() sfu.NodeStats { return sfu.NodeStats{} },
		Signaling: func() signaling.Stats { return signaling.Stats{} }, TURN: func() turn.Stats { return turn.Stats{} },
	}))
	problems, err := promlint.New(strings.NewReader(page)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
