package replay

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// maxFrame bounds one captured frame; the largest snap length of tcpdump is the same.
const maxFrame = 256 << 10

// readPcap reads a classic pcap file.
func readPcap(r io.Reader, c *collector) error {
	b := bufio.NewReader(r)
	var head [24]byte
	if _, err := io.ReadFull(b, head[:]); err != nil {
		return fmt.Errorf("%w: pcap header cut off", ErrTrace)
	}
	var order binary.ByteOrder = binary.LittleEndian
	unit := time.Microsecond
	switch binary.LittleEndian.Uint32(head[:]) {
	case 0xa1b2c3d4:
	case 0xa1b23c4d:
		unit = time.Nanosecond
	case 0xd4c3b2a1:
		order = binary.BigEndian
	case 0x4d3cb2a1:
		order, unit = binary.BigEndian, time.Nanosecond
	default:
		return fmt.Errorf("%w: not a pcap file", ErrTrace)
	}
	link := order.Uint32(head[20:]) & 0xffff
	if _, known := linkHeader(link); !known {
		return fmt.Errorf("%w: pcap of link type %d", ErrTrace, link)
	}
	for {
		var h [16]byte
		if _, err := io.ReadFull(b, h[:]); err != nil {
			return c.ended(err)
		}
		n := order.Uint32(h[8:])
		if n > maxFrame {
			return fmt.Errorf("%w: pcap record of %d bytes", ErrTrace, n)
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(b, data); err != nil {
			return c.ended(err)
		}
		c.frame(data, order.Uint32(h[12:]), link, time.Duration(order.Uint32(h[0:]))*time.Second+time.Duration(order.Uint32(h[4:]))*unit)
	}
}

// Block types of pcapng (draft-ietf-opsawg-pcapng, section 4).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockOldPacket = 2
	blockPacket    = 6
)

// capturePort is an interface of a pcapng section.
type capturePort struct {
	link uint32
	unit uint64 // timestamp units in a second
}

// readPcapNG reads a pcapng file: all its sections and interfaces. Simple packet blocks carry no time and are passed over.
func readPcapNG(r io.Reader, c *collector) error {
	b := bufio.NewReader(r)
	var order binary.ByteOrder
	var ports []capturePort
	for {
		var h [12]byte
		if _, err := io.ReadFull(b, h[:]); err != nil {
			return c.ended(err)
		}
		kind := binary.LittleEndian.Uint32(h[:])
		if kind == blockSection {
			switch binary.LittleEndian.Uint32(h[8:]) {
			case 0x1a2b3c4d:
				order = binary.LittleEndian
			case 0x4d3c2b1a:
				order = binary.BigEndian
			default:
				return fmt.Errorf("%w: pcapng section without byte order", ErrTrace)
			}
			ports = nil
		} else if order == nil {
			return fmt.Errorf("%w: not a pcapng file", ErrTrace)
		}
		kind = order.Uint32(h[:])
		n := order.Uint32(h[4:])
		if n < 12 || n%4 != 0 || n > 4*maxFrame {
			return fmt.Errorf("%w: pcapng block of %d bytes", ErrTrace, n)
		}
		block := make([]byte, n) // without the leading type and length, with the trailing length
		copy(block, h[8:])
		if _, err := io.ReadFull(b, block[4:n-8]); err != nil {
			return c.ended(err)
		}
		if n == 12 { // what was taken for the body is the trailing length
			continue
		}
		body := block[:n-12]
		switch kind {
		case blockInterface:
			p, err := parsePort(body, order)
			if err != nil {
				return err
			}
			ports = append(ports, p)
		case blockPacket, blockOldPacket:
			if err := parsePacketBlock(body, kind, order, ports, c); err != nil {
				return err
			}
		}
	}
}

func parsePort(body []byte, order binary.ByteOrder) (capturePort, error) {
	p := capturePort{unit: 1e6}
	if len(body) < 8 {
		return p, fmt.Errorf("%w: pcapng interface cut off", ErrTrace)
	}
	p.link = uint32(order.Uint16(body))
	const resolution = 9 // if_tsresol
	for o := body[8:]; len(o) >= 4; {
		code, size := order.Uint16(o), int(order.Uint16(o[2:]))
		o = o[4:]
		if code == 0 || size > len(o) {
			break
		}
		if code == resolution && size >= 1 {
			switch e := o[0]; {
			case e < 19:
				p.unit = 1
				for range e {
					p.unit *= 10
				}
			case e >= 0x80 && e < 0x80+63:
				p.unit = 1 << (e & 0x7f)
			default:
				return p, fmt.Errorf("%w: pcapng time resolution %#x", ErrTrace, e)
			}
		}
		o = o[min(len(o), (size+3)&^3):]
	}
	return p, nil
}

func parsePacketBlock(body []byte, kind uint32, order binary.ByteOrder, ports []capturePort, c *collector) error {
	if len(body) < 20 {
		return fmt.Errorf("%w: pcapng packet cut off", ErrTrace)
	}
	port := order.Uint32(body)
	if kind == blockOldPacket {
		port = uint32(order.Uint16(body))
	}
	size, original := order.Uint32(body[12:]), order.Uint32(body[16:])
	if int64(port) >= int64(len(ports)) || int64(size) > int64(len(body)-20) {
		return fmt.Errorf("%w: pcapng packet of interface %d, %d bytes", ErrTrace, port, size)
	}
	p := ports[port]
	stamp := uint64(order.Uint32(body[4:]))<<32 | uint64(order.Uint32(body[8:]))
	seconds := stamp / p.unit
	if seconds > 1<<33 { // year 2242
		return fmt.Errorf("%w: pcapng time of %d s", ErrTrace, seconds)
	}
	at := time.Duration(seconds)*time.Second + time.Duration(float64(stamp%p.unit)/float64(p.unit)*1e9)
	c.frame(body[20:20+size], original, p.link, at)
	return nil
}
