package turn

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/pion/stun/v4"
	pionturn "github.com/pion/turn/v5"
)

// session is one UDP socket or one stream connection as pion's handler sees it. Pion handles one request at a time on each, and
// calls back (authenticate, permit, quota, the answer's write) on the same goroutine, so the session needs no lock: it holds
// the request now being handled, and what our handlers think the answer should be where pion's would say less than the RFC.
type session struct {
	srv  *Server
	key  clientKey // of the request; on a stream it never changes
	wire bucketed  // limits of a stream of its own; nil on UDP, where sources are counted

	raw     []byte // borrowed from pion's buffer until the next read
	packet  packet
	auth    []byte    // long-term key, once the user name is known
	serial  uint64    // of the credential
	valid   bool      // the request is signed with it
	code    errorCode // what to answer instead of pion's error; 0: leave it
	paid    bool      // the answer has been counted against the source already
	garbage bool      // what came was not STUN or TURN at all; on a stream the end of it
	out     [64]byte
}

// bucketed limits the answers on one stream; the source address of a stream is proven, so a connection is what is counted.
type bucketed interface {
	allowBinding() bool
	allowUnauthorized() bool
}

// receive looks at one whole datagram or frame. Its verdict is true when pion shall have it; what the guard can answer or
// drop itself ends here. send writes an answer to the source.
func (s *session) receive(b []byte, stream bool, send func([]byte)) bool {
	srv := s.srv
	s.raw, s.auth, s.valid, s.code, s.paid, s.garbage = b, nil, false, 0, false, false
	if r := inspect(b, stream, &s.packet); r != reasonNone {
		s.garbage = r != reasonSTUNMethod && r != reasonLifetime
		srv.count.drop(r, s.key.src.Addr())
		return false
	}
	p := &s.packet
	switch {
	case p.channelData, p.method == methodSend:
		a := srv.table.get(s.key)
		if a == nil {
			srv.count.drop(reasonNoAllocation, s.key.src.Addr())
			return false
		}
		a.active.Store(int64(srv.clock()))
		return true
	case p.method == methodBinding && p.class == classIndication:
		srv.count.drop(reasonKeepalive, s.key.src.Addr())
		return false
	case p.method == methodBinding:
		if !s.allowBinding() {
			srv.count.drop(reasonBindingRate, s.key.src.Addr())
			return false
		}
		if p.foreign {
			s.paid = true
			return true // pion answers 420
		}
		srv.count.binding.Add(1)
		send(bindingAnswer(s.out[:0], b, s.key.src, p.fingerprint))
		return false
	case !p.integrity:
		if !s.allowUnauthorized() {
			srv.count.drop(reasonUnauthorizedRate, s.key.src.Addr())
			return false
		}
		s.paid = true
	}
	return true
}

func (s *session) allowBinding() bool {
	if s.wire != nil {
		return s.wire.allowBinding()
	}
	return s.srv.binding.allow(sourcePrefix(s.key.src.Addr()), s.srv.clock())
}

func (s *session) allowUnauthorized() bool {
	if s.wire != nil {
		return s.wire.allowUnauthorized()
	}
	return s.srv.unauthorized.allow(sourcePrefix(s.key.src.Addr()), s.srv.clock())
}

// answer passes, improves or swallows (nil) what pion wants to write. It is called for relayed data from other goroutines
// too, and then touches nothing of the session.
func (s *session) answer(b []byte) []byte {
	if len(b) < stunHeaderSize || b[0] >= 0x40 {
		return b
	}
	switch class := binary.BigEndian.Uint16(b) & classMask; class {
	case classSuccess:
		if m := s.packet.method; m == methodAllocate || m == methodRefresh {
			if lifetime, ok := grantedLifetime(b); ok && lifetime > 0 {
				s.srv.table.extend(s.key, time.Duration(lifetime)*time.Second, m == methodRefresh, s.srv.clock())
			}
		}
	case classError:
		if !s.valid && !s.paid && !s.allowUnauthorized() {
			s.srv.count.drop(reasonUnauthorizedRate, s.key.src.Addr())
			return nil
		}
		switch {
		case s.code == codeUnauthorized:
			return errorAnswer(b, s.code, s.srv.cfg.Realm, s.packet.nonce, nil)
		case s.code != 0 && s.valid:
			return errorAnswer(b, s.code, "", nil, s.auth)
		}
	}
	return b
}

// authenticate is pion's AuthHandler. The user id it returns carries the client's address: participant, space, address.
func (s *session) authenticate(method stun.Method, username, realm string) (userID string, key []byte, ok bool) {
	srv := s.srv
	s.code = codeUnauthorized // unless pion finds the signature good, or we know better
	id, ok := srv.creds.check(username, realm, time.Now())
	if !ok || !signed(s.raw, id.key) {
		srv.count.authFailures.Add(1)
		srv.count.drop(reasonUnauthorized, s.key.src.Addr())
		return "", nil, false
	}
	s.auth, s.serial = id.key, id.serial
	a := srv.table.get(s.key)
	switch {
	case method == stun.MethodAllocate && !id.live:
		srv.count.drop(reasonUnauthorized, s.key.src.Addr())
		return "", nil, false
	case method != stun.MethodAllocate && a == nil:
		s.valid, s.code = true, codeMismatch
		return "", nil, false
	case method != stun.MethodAllocate && a.participant != id.participant:
		s.valid, s.code = true, codeWrongCredentials
		return "", nil, false
	}
	s.valid, s.code = true, 0
	return id.participant + " " + s.key.src.String(), id.key, true
}

// splitUserID takes apart what authenticate has made.
func splitUserID(userID string) (participant string, src netip.AddrPort, ok bool) {
	i := strings.LastIndexByte(userID, ' ')
	if i < 0 {
		return "", netip.AddrPort{}, false
	}
	src, err := netip.ParseAddrPort(userID[i+1:])
	return userID[:i], src, err == nil
}

// quota is pion's QuotaHandler.
func (s *session) quota(userID string) bool {
	participant, _, ok := splitUserID(userID)
	if !ok {
		return false
	}
	r, wake := s.srv.table.admit(s.key, participant, s.srv.clock())
	if wake {
		s.srv.wake()
	}
	return s.refuseQuota(r)
}

// refuseQuota counts a quota refusal and chooses its code; it returns true when there is room.
func (s *session) refuseQuota(r reason) bool {
	switch r {
	case reasonNone:
		return true
	case reasonQuotaTotal:
		s.code = codeCapacity
	default:
		s.code = codeQuota
	}
	s.srv.count.drop(r, s.key.src.Addr())
	return false
}

// permit is pion's PermissionHandler, for CreatePermission and ChannelBind.
func (s *session) permit(peerIP net.IP) bool {
	srv := s.srv
	peer, ok := netip.AddrFromSlice(peerIP)
	a := srv.table.get(s.key)
	if !ok || a == nil {
		s.code = codeForbidden
		return false
	}
	bind := s.packet.method == methodChannelBind
	allowed, target := false, netip.AddrPort{}
	eachPeer(s.raw, func(ap netip.AddrPort) {
		if ap.Addr().Unmap() != peer.Unmap() || allowed {
			return
		}
		target = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
		// A permission is per address, whatever port the request names; a channel is per address and port.
		if bind {
			allowed = target.Port() != 0 && srv.allowed(target)
		} else {
			allowed = srv.allowed(netip.AddrPortFrom(target.Addr(), 0)) || srv.allowed(target)
		}
	})
	switch {
	case !allowed || bind && srv.table.isRelayed(target):
		s.code = codeForbidden
		srv.count.drop(reasonForbiddenPeer, s.key.src.Addr())
		return false
	case bind && (s.packet.channel < minChannel || s.packet.channel > maxChannel):
		s.code = codeBadRequest
		return false
	case !srv.table.mayPermit(a, target.Addr()):
		s.code = codeCapacity
		srv.count.drop(reasonQuotaPermissions, s.key.src.Addr())
		return false
	case bind && !srv.table.mayBind(a, target):
		s.code = codeCapacity
		srv.count.drop(reasonQuotaChannels, s.key.src.Addr())
		return false
	}
	return true
}

// allowed asks AllowPeer about the address that packets to ap would reach. An address that hides another inside is refused even
// when the inner one is allowed: the packet would go to a gateway, not to us.
func (s *Server) allowed(ap netip.AddrPort) bool {
	return ap.Addr().IsValid() && plain(ap.Addr()) && s.cfg.AllowPeer(netip.AddrPortFrom(Canonical(ap.Addr()), ap.Port()))
}

// addrPort turns pion's address types into ours.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		ap = a.AddrPort()
	case *net.TCPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// events keeps the table's view of permissions and channels in step with pion's.
func (s *Server) events(listener int) pionturn.EventHandler {
	key := func(src net.Addr) clientKey { return clientKey{listener, addrPort(src)} }
	permission := func(on bool) func(src, dst net.Addr, protocol, userID, realm string, relay net.Addr, peer net.IP) {
		return func(src, _ net.Addr, _, _, _ string, _ net.Addr, peer net.IP) {
			if a, ok := netip.AddrFromSlice(peer); ok {
				s.table.setPermission(key(src), a.Unmap(), on)
			}
		}
	}
	channel := func(on bool) func(src, dst net.Addr, protocol, userID, realm string, relay, peer net.Addr, number uint16) {
		return func(src, _ net.Addr, _, _, _ string, _, peer net.Addr, _ uint16) {
			s.table.setChannel(key(src), addrPort(peer), on)
		}
	}
	return pionturn.EventHandler{
		OnPermissionCreated: permission(true), OnPermissionDeleted: permission(false),
		OnChannelCreated: channel(true), OnChannelDeleted: channel(false),
	}
}
