//go:build !linux

package sfu

// vector is what sendmmsg needs, where there is one.
type vector struct{}

func (b *batch) prepare() {}

// sendBatch sends the packets of b, one by one.
func (c *mediaConn) sendBatch(b *batch) (sent, bytes, calls int) {
	for i := range b.n {
		p := b.packet(i)
		if _, err := c.UDPConn.WriteToUDPAddrPort(p, b.to[i]); err == nil {
			sent++
			bytes += len(p)
		}
	}
	return sent, bytes, b.n
}

// intake reads datagrams, one by one.
type intake struct {
	conn   *mediaConn
	slots  [1]*datagram
	handle func([]*datagram)
}

func newIntake(c *mediaConn, handle func([]*datagram)) *intake {
	return &intake{conn: c, handle: handle}
}

// read hands over what comes, and returns only with an error.
func (in *intake) read() error {
	for {
		if in.slots[0] == nil {
			in.slots[0] = in.conn.free.Get().(*datagram)
		}
		d := in.slots[0]
		var err error
		if d.n, d.from, err = in.conn.UDPConn.ReadFromUDPAddrPort(d.data[:]); err != nil {
			return err
		}
		in.handle(in.slots[:])
	}
}
