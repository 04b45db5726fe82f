//go:build linux

package sfu

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"golang.org/x/sys/unix"

	"parley/mixer"
)

// deaf is the socket of a client that reads nothing any more once it is connected: the system drops what comes, so that the
// figures are the server's and not those of pion as a client.
type deaf struct {
	*net.UDPConn
	connected atomic.Bool
	closed    chan struct{}
	once      sync.Once
}

func (d *deaf) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	if d.connected.Load() {
		<-d.closed
	}
	return d.ReadFromUDPAddrPort(b)
}

func (d *deaf) WriteToAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	return d.WriteToUDPAddrPort(b, addr)
}

func (d *deaf) Close() error {
	d.once.Do(func() { close(d.closed) })
	return d.UDPConn.Close()
}

// listeners joins so many listeners and waits until all are connected.
func listeners(b *testing.B, n *testNode, count int) (tracks []*downTrack) {
	b.Helper()
	tracks = make([]*downTrack, count)
	slots := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i := range tracks {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				b.Error(err)
				return
			}
			_ = socket.SetReadBuffer(4096)
			d := &deaf{UDPConn: socket, closed: make(chan struct{})}
			b.Cleanup(func() { _ = d.Close() })
			c := n.newClient(clientOptions{room: fmt.Sprint(i % 10), socket: d, direction: webrtc.RTPTransceiverDirectionRecvonly})
			select {
			case <-c.up:
			case <-time.After(patience):
				b.Errorf("client %d is not connected", i)
				return
			}
			d.connected.Store(true)
			p, err := n.find(c.id)
			if err != nil {
				b.Error(err)
				return
			}
			p.mu.Lock()
			tracks[i] = p.peer.down
			p.mu.Unlock()
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return tracks
}

// threadTime is the processor time of the calling thread.
func threadTime(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// BenchmarkFanOut hands one frame to 1,000 listeners that are connected over loopback by real peer connections, as a worker
// of the mixer does.
func BenchmarkFanOut(b *testing.B) {
	n := newTestNode(b, func(c *Config, t *timing) {
		t.iceDisconnected, t.iceFailed, t.consent = time.Hour, time.Hour, time.Hour
		c.UDPPorts = PortRange{First: 27000, Last: 27010}
	})
	const count = 1000
	tracks := listeners(b, n, count)
	frame := mixer.Frame{Payload: make([]byte, 80), Samples: 960}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b.ReportAllocs()
	var took []time.Duration
	for b.Loop() {
		before := threadTime(b)
		frame.Timestamp += 960
		for _, t := range tracks {
			t.WriteFrame(frame)
		}
		n.flush(0)
		took = append(took, threadTime(b)-before)
	}
	// The least disturbed and the usual, because others use the machine too.
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/20])/count, "p5-cpu-ns/packet")
	b.ReportMetric(float64(took[len(took)/2])/count, "p50-cpu-ns/packet")
}
