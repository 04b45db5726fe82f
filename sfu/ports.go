package sfu

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"

	"go.uber.org/zap"
)

// PortRange is an inclusive range of ports. First 0 lets the system choose one port per address (for tests).
type PortRange struct{ First, Last uint16 }

// mediaPort is one port of the range, open on every address. A peer lives on one mediaPort; load is their number.
type mediaPort struct {
	conns []*mediaConn
	muxes []*udpMux // made by Node.Run
	load  atomic.Int64
}

// openPorts opens one socket per address and port. A port that is taken on any address is left out with a warning;
// it fails when none is left.
func openPorts(addrs []netip.Addr, r PortRange, counters *socketCounters, log *zap.Logger) ([]*mediaPort, error) {
	if r.Last < r.First {
		return nil, fmt.Errorf("media ports %d-%d: the range is empty", r.First, r.Last)
	}
	var ports []*mediaPort
	var last error
	for port := int(r.First); port <= int(r.Last); port++ {
		p, err := openPort(addrs, uint16(port), counters)
		if err != nil {
			log.Warn("media port left out", zap.Int("port", port), zap.Error(err))
			last = err
			continue
		}
		ports = append(ports, p)
	}
	if len(ports) == 0 {
		return nil, fmt.Errorf("open media ports: %w", last)
	}
	return ports, nil
}

func openPort(addrs []netip.Addr, port uint16, counters *socketCounters) (*mediaPort, error) {
	p := &mediaPort{}
	for _, a := range addrs {
		network := "udp6"
		if a.Is4() {
			network = "udp4"
		}
		c, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, port)))
		if err != nil {
			p.closeSockets()
			return nil, err
		}
		// Room for the packets of a tick of a full node; the system may give less.
		_ = c.SetReadBuffer(socketBuffer)
		_ = c.SetWriteBuffer(socketBuffer)
		m, err := newMediaConn(c, counters)
		if err != nil {
			_ = c.Close()
			p.closeSockets()
			return nil, err
		}
		p.conns = append(p.conns, m)
	}
	return p, nil
}

const socketBuffer = 1 << 20 // bytes

// start makes the muxes, whose goroutines read the sockets until stop.
func (p *mediaPort) start() {
	for _, c := range p.conns {
		p.muxes = append(p.muxes, newUDPMux(c))
	}
}

func (p *mediaPort) stop() error {
	var errs []error
	for _, m := range p.muxes {
		errs = append(errs, m.Close())
	}
	return errors.Join(errors.Join(errs...), p.closeSockets())
}

func (p *mediaPort) closeSockets() error {
	var errs []error
	for _, c := range p.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// leastLoaded picks the port with the fewest peers and counts one more on it.
func leastLoaded(ports []*mediaPort) *mediaPort {
	best := ports[0]
	for _, p := range ports[1:] {
		if p.load.Load() < best.load.Load() {
			best = p
		}
	}
	best.load.Add(1)
	return best
}
