package turn

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"
)

// BenchmarkRelay sends 160-byte packets through a channel to the media echo and back, 32 in flight.
func BenchmarkRelay(b *testing.B) {
	for _, transport := range transports {
		b.Run(transport, func(b *testing.B) {
			r := newRig(b, func(c *Config) { c.Limits.BandwidthBps = 1e12 })
			u := r.join(r.dial(transport), "anna")
			u.allocate()
			require.Zero(b, u.bind(0x4000, r.media))
			frame := append([]byte{0x40, 0, 0, 160}, make([]byte, 160)...)
			for range 32 {
				u.send(frame)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := u.receive(); err != nil {
					b.Fatal(err)
				}
				u.send(frame)
			}
			b.ReportMetric(2*float64(b.N)/b.Elapsed().Seconds(), "packets/s")
		})
	}
}

// BenchmarkAuthenticate is what a request with a wrong password costs in our handler (T-13: at most 20 µs).
func BenchmarkAuthenticate(b *testing.B) {
	s := bench()
	s.cfg.Realm = "parley"
	name, _ := s.creds.mint("anna", time.Now())
	u := &user{wire: &wire{}, name: name, password: "wrong", realm: "parley", nonce: "nonce"}
	session := &session{srv: s, key: clientKey{0, netip.AddrPortFrom(loopback, 9)}}
	request := u.request(stun.MethodAllocate, overUDP).Raw
	for b.Loop() {
		session.receive(request, false, nil)
		if _, _, ok := session.authenticate(stun.MethodAllocate, name, "parley"); ok {
			b.Fatal("let in")
		}
	}
}
