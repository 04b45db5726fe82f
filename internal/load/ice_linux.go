package load

import (
	"encoding/binary"
	"time"

	"github.com/pion/stun/v4"
)

// The least of ICE: we control, there is one pair, and it is nominated by the first check (RFC 8445, section 7.1).
const (
	checkInterval   = 50 * time.Millisecond // doubles
	checkSlowest    = 800 * time.Millisecond
	consentInterval = 5 * time.Second              // RFC 7675, section 5.1
	consentExpires  = 30 * time.Second             // the same
	priority        = 1<<24*110 + 1<<8*65535 + 255 // peer-reflexive, which is what the server finds us to be
)

// path is the ICE side of a peer.
type path struct {
	request   []stun.Setter // all but the transaction
	own       stun.MessageIntegrity
	remote    stun.MessageIntegrity
	mapped    stun.XORMappedAddress // of the server
	id        [stun.TransactionIDSize]byte
	interval  time.Duration
	due       time.Duration // of the next check, until the first was answered
	up        bool
	consentAt time.Duration
}

type rawAttribute struct {
	kind  stun.AttrType
	value []byte
}

// AddTo implements stun.Setter.
func (a rawAttribute) AddTo(m *stun.Message) error {
	m.Add(a.kind, a.value)
	return nil
}

func newPath(own offer, theirs answer, mapped stun.XORMappedAddress, tie uint64) path {
	p := path{
		own: stun.NewShortTermIntegrity(own.pwd), remote: stun.NewShortTermIntegrity(theirs.pwd), mapped: mapped,
		interval: checkInterval,
	}
	p.request = []stun.Setter{
		stun.BindingRequest,
		stun.NewUsername(theirs.ufrag + ":" + own.ufrag),
		rawAttribute{stun.AttrPriority, binary.BigEndian.AppendUint32(nil, priority)},
		rawAttribute{stun.AttrICEControlling, binary.BigEndian.AppendUint64(nil, tie)},
		rawAttribute{stun.AttrUseCandidate, nil},
		p.remote,
		stun.Fingerprint,
	}
	return p
}

// check sends a binding request.
func (l *loop) check(p *peer) {
	l.transaction++
	binary.BigEndian.PutUint32(p.path.id[:], uint32(p.id))
	binary.BigEndian.PutUint64(p.path.id[4:], l.transaction^l.salt)
	l.out.Reset()
	l.out.TransactionID = p.path.id
	l.out.WriteHeader()
	for _, s := range p.path.request {
		if err := s.AddTo(l.out); err != nil {
			l.counts.OtherErrors++
			return
		}
	}
	l.write(p, l.out.Raw)
}

// stun takes a STUN message from the peer's server.
func (l *loop) stun(p *peer, b []byte, at time.Duration) {
	l.in.Raw = append(l.in.Raw[:0], b...)
	if err := l.in.Decode(); err != nil {
		l.counts.OtherErrors++
		return
	}
	switch l.in.Type {
	case stun.BindingRequest:
		if p.path.own.Check(l.in) != nil {
			l.counts.OtherErrors++
			return
		}
		l.out.Reset()
		err := l.out.Build(stun.NewTransactionIDSetter(l.in.TransactionID), stun.BindingSuccess, &p.path.mapped, p.path.own, stun.Fingerprint)
		if err != nil {
			l.counts.OtherErrors++
			return
		}
		l.write(p, l.out.Raw)
	case stun.BindingSuccess:
		if l.in.TransactionID != p.path.id || p.path.remote.Check(l.in) != nil {
			return // an earlier one, or not from there
		}
		p.path.consentAt = at
		if !p.path.up {
			p.path.up = true
			close(p.connected)
		}
	case stun.BindingError:
		l.counts.ICEErrors++
	}
}

// checkAgain sends the first check and repeats it until one is answered.
func (l *loop) checkAgain(now time.Duration) {
	kept := l.checking[:0]
	for _, p := range l.checking {
		if p.path.up || p.gone {
			continue
		}
		if now >= p.path.due {
			l.check(p)
			p.path.due = now + p.path.interval
			p.path.interval = min(2*p.path.interval, checkSlowest)
		}
		kept = append(kept, p)
	}
	clear(l.checking[len(kept):])
	l.checking = kept
}
