//go:build bench

package bench

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/e2e/rig"
)

func TestMain(m *testing.M) {
	code := rig.Main(m)
	figures.print()
	os.Exit(code)
}

// figure is one line of the table.
type figure struct{ name, value, aim, spread string }

type table struct {
	mu    sync.Mutex
	lines []figure
}

var figures table

func (t *table) add(f figure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, f)
}

func (t *table) print() {
	if len(t.lines) == 0 {
		return
	}
	fmt.Printf("\n%s, %d CPUs, %s, %s\n\n| figure | measured | aim | spread |\n| --- | --- | --- | --- |\n",
		cpuModel(), runtime.NumCPU(), kernel(), runtime.Version())
	for _, f := range t.lines {
		fmt.Printf("| %s | **%s** | %s | %s |\n", f.name, f.value, f.aim, f.spread)
	}
	fmt.Println()
}

func cpuModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.SplitSeq(string(data), "\n") {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimLeft(name, " \t:")
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	data, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return "Linux " + strings.TrimSpace(string(data))
}

// quantile is the smallest of values that at least the share q of them does not exceed.
func quantile(values []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	i := int(q*float64(len(sorted))+0.999999) - 1
	return sorted[max(0, min(i, len(sorted)-1))]
}

// ms is d in milliseconds with one decimal.
func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }

// spread is the usual summary of values.
func spread(values []time.Duration) string {
	return fmt.Sprintf("n %d, min %s, median %s, p95 %s, max %s",
		len(values), ms(slices.Min(values)), ms(quantile(values, 0.5)), ms(quantile(values, 0.95)), ms(slices.Max(values)))
}

// watch starts the control: a goroutine of this process that only wants to wake every 10 ms. How late it was says what the
// machine itself adds to every figure, since other programs run on it. The function it returns ends the watch.
func watch() (finish func() string) {
	stop, late := make(chan struct{}), make(chan []time.Duration)
	go control(stop, late)
	return func() string {
		close(stop)
		l := <-late
		return fmt.Sprintf("control: an idle goroutine's wake-ups p50 %s, p99.9 %s late", ms(quantile(l, 0.5)), ms(quantile(l, 0.999)))
	}
}

func control(stop <-chan struct{}, late chan<- []time.Duration) {
	var all []time.Duration
	for due := time.Now(); ; {
		due = due.Add(10 * time.Millisecond)
		time.Sleep(time.Until(due))
		all = append(all, time.Since(due))
		select {
		case <-stop:
			late <- all
			return
		default:
		}
	}
}
