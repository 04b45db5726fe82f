package sfu

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"
	"go.uber.org/zap"
)

// gatherTimeout bounds the wait for our own candidates, which are all known: no server is asked.
const gatherTimeout = 5 * time.Second

// maxRestarts is how many ICE restarts one peer connection may see. Each leaves some state in pion.
const maxRestarts = 100

// peer is a participant's peer connection. A participant that comes with another certificate (a new page, a new
// process) gets a new one. The fields without a note are used under participant.negotiation.
type peer struct {
	node        *Node
	participant *participant
	pc          *webrtc.PeerConnection
	port        *mediaPort
	down        *downTrack
	sender      *webrtc.RTPSender
	first       *remote // the description it was made for: certificate and payload types stay

	ufrag, pwd string // the client's, of the running ICE generation
	gate       candidateGate
	restarts   int
	local      localTransport
	version    uint64
	offered    bool // an offer of ours waits for its answer
	offeredAt  time.Time

	understood atomic.Pointer[remote] // the client's last description
	mayPublish atomic.Bool
	mayHear    atomic.Bool
	rtcp       downReports
	resends    chan resend   // requests for packets of the client's, nil where that was not agreed
	gone       chan struct{} // closed by close

	readers closableGroup // track readers, in goroutines of pion's and ours
	once    sync.Once
}

// newPeer makes the peer connection for a first offer. Nothing is negotiated yet.
func (n *Node) newPeer(p *participant, r *remote) (*peer, error) {
	port := leastLoaded(n.ports)
	down := newDownTrack(uint8(r.primary()))
	down.codec = r.codec()
	down.outboxes = n.outboxes
	pc, err := n.apis.newPeerConnection(port, &down.lane, r)
	if err != nil {
		port.load.Add(-1)
		return nil, err
	}
	peer := &peer{node: n, participant: p, pc: pc, port: port, first: r, down: down, gone: make(chan struct{})}
	if r.nack {
		peer.resends = make(chan resend, resendQueue)
	}
	peer.understood.Store(r)
	t, err := pc.AddTransceiverFromTrack(peer.down,
		webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendrecv})
	if err != nil {
		peer.close()
		return nil, fmt.Errorf("add the outgoing track: %w", err)
	}
	peer.sender = t.Sender()
	peer.rtcp.ssrc = peer.ssrc()
	pc.OnTrack(peer.onTrack)
	pc.OnICEConnectionStateChange(peer.onICEState)
	pc.OnConnectionStateChange(peer.onState)
	peer.readers.goRun(peer.readReports) // ends with the sender; close waits
	if peer.resends != nil {
		peer.readers.goRun(peer.askAgain) // ends with gone; close waits
	}
	return peer, nil
}

// ssrc is that of the outgoing stream.
func (p *peer) ssrc() uint32 {
	if e := p.sender.GetParameters().Encodings; len(e) > 0 {
		return uint32(e[0].SSRC)
	}
	return 0
}

// apply gives pion a description and takes its answer; r may be an answer to our own offer.
func (p *peer) apply(ctx context.Context, r *remote, ufrag, pwd string, candidates []candidate, answer bool) error {
	locals4, locals6 := p.node.localCandidates()
	p.gate = candidateGate{allowPrivate: p.node.cfg.AllowPrivateCandidates, local4: locals4, local6: locals6, seen: r.lines}
	var kept []candidate
	for _, c := range candidates {
		if p.gate.admit(c) {
			kept = append(kept, c)
		}
	}
	kind := webrtc.SDPTypeOffer
	if answer {
		kind = webrtc.SDPTypeAnswer
	}
	text := r.pionDescription(ufrag, pwd, r.setup, kept)
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: kind, SDP: text}); err != nil {
		return fmt.Errorf("%w: %w", ErrBadSDP, err)
	}
	p.ufrag, p.pwd = ufrag, pwd
	if answer {
		return nil
	}
	local, err := p.pc.CreateAnswer(nil)
	if err != nil {
		return fmt.Errorf("make the answer: %w", err)
	}
	return p.setLocal(ctx, local)
}

// setLocal sets our description and waits until our candidates are in it.
func (p *peer) setLocal(ctx context.Context, local webrtc.SessionDescription) error {
	if err := p.pc.SetLocalDescription(local); err != nil {
		return fmt.Errorf("set the local description: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	select {
	case <-webrtc.GatheringCompletePromise(p.pc):
	case <-ctx.Done():
		return fmt.Errorf("gather candidates: %w", ctx.Err())
	}
	d := p.pc.LocalDescription()
	if d == nil {
		return ErrClosed
	}
	t, err := transportOf(d.SDP)
	if err != nil {
		return err
	}
	p.local = t
	return nil
}

// onTrack is called by pion in a goroutine of its own for every incoming stream.
func (p *peer) onTrack(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	if !p.readers.enter() {
		return
	}
	defer p.readers.leave()
	t := &upTrack{p: p, remote: remote, serial: p.node.trackSerial.Add(1)}
	p.readers.goRun(func() { drainRTCP(receiver) }) // ends with the receiver; close waits
	t.run()
}

// onICEState runs in pion's notifier: it only notes.
func (p *peer) onICEState(s webrtc.ICEConnectionState) {
	switch s {
	case webrtc.ICEConnectionStateConnected, webrtc.ICEConnectionStateCompleted:
		p.down.live.Store(true)
	case webrtc.ICEConnectionStateDisconnected:
	default:
		p.down.live.Store(false)
	}
}

// onState is called by pion in goroutines without order, so it asks for the state there is now.
func (p *peer) onState(webrtc.PeerConnectionState) {
	if !p.readers.enter() {
		return
	}
	defer p.readers.leave()
	p.participant.peerState(p, p.pc.ConnectionState())
}

// close ends the peer connection and waits for everything it runs. Idempotent; not to be called from its callbacks.
func (p *peer) close() {
	p.once.Do(func() {
		p.readers.close()
		close(p.gone)
		p.down.live.Store(false)
		if err := p.pc.GracefulClose(); err != nil {
			p.node.log.Debug("peer connection closed", zap.Error(err))
		}
		p.readers.wait()
		p.node.counters.retire(p.down)
		p.port.load.Add(-1)
	})
}

// closableGroup is a WaitGroup that can be shut: nobody enters after close.
type closableGroup struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

func (g *closableGroup) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.wg.Add(1)
	return true
}

func (g *closableGroup) leave() { g.wg.Done() }

func (g *closableGroup) goRun(f func()) {
	if g.enter() {
		go func() {
			defer g.leave()
			f()
		}()
	}
}

func (g *closableGroup) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

func (g *closableGroup) wait() { g.wg.Wait() }
