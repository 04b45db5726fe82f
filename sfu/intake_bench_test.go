//go:build linux

package sfu

import (
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"
)

// BenchmarkIntake is what the goroutine that reads a media socket takes per packet, by how many come at once: one system call per
// packet, and as many packets per system call as there are.
func BenchmarkIntake(b *testing.B) {
	oneByOne := func(c *mediaConn, handle func([]*datagram)) error {
		slots := []*datagram{new(datagram)}
		for {
			d := slots[0]
			var err error
			if d.n, d.from, err = c.ReadFromUDPAddrPort(d.data[:]); err != nil {
				return err
			}
			handle(slots)
		}
	}
	for _, how := range []string{"one by one", "batched"} {
		for _, burst := range []int{1, 8, 32} {
			b.Run(fmt.Sprint(how, " ", burst), func(b *testing.B) {
				c := testConn(b)
				_ = c.SetReadBuffer(socketBuffer)
				if how == "one by one" {
					c.read = func(handle func([]*datagram)) error { return oneByOne(c, handle) }
				}
				u, err := net.DialUDP("udp4", nil, c.LocalAddr().(*net.UDPAddr))
				if err != nil {
					b.Fatal(err)
				}
				defer u.Close()
				packet := numbered(1, 100)
				all := make(chan struct{})
				var wg sync.WaitGroup
				var took time.Duration
				wg.Go(func() {
					runtime.LockOSThread()
					defer runtime.UnlockOSThread()
					got := 0
					before := threadTime(b)
					c.serve(func(*datagram) bool {
						if got++; got%burst == 0 {
							all <- struct{}{}
						}
						return false
					})
					took = threadTime(b) - before
				})
				b.ReportAllocs()
				for b.Loop() {
					for range burst {
						if _, err := u.Write(packet); err != nil {
							b.Fatal(err)
						}
					}
					<-all
				}
				_ = c.Close()
				wg.Wait()
				b.ReportMetric(float64(took)/float64(b.N)/float64(burst), "cpu-ns/packet")
				b.ReportMetric(float64(c.counters.reads.Load())/float64(b.N)/float64(burst), "calls/packet")
			})
		}
	}
}
