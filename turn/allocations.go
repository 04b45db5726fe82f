package turn

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// clientKey names a client's 5-tuple: the listener it came through and its transport address there.
type clientKey struct {
	listener int
	src      netip.AddrPort
}

// allocation is what the server remembers of one allocation of pion's. Fields without a comment are set once.
type allocation struct {
	key         clientKey
	participant string
	relayed     netip.AddrPort
	relay       *relayConn
	end         func() // ends it; safe against pion's handler, see udpGuard.end and framedConn.end

	active atomic.Int64 // when the client last sent data through it, on the server's clock

	// guarded by table.mu
	deadline    time.Duration // on the server's clock; pion's own timer would fire lifetimeMargin later
	granted     bool          // the deadline is that of a response
	revoked     bool
	replaced    bool             // makes room for its user's newer ones; no longer in byUser
	ending      bool             // due has named it: somebody is ending it
	permissions []netip.Addr     // few: searched from the front
	channels    []netip.AddrPort // peers of channels, likewise

	closed chan struct{} // closed when pion has closed the relay socket
}

// lifetimeMargin is how much earlier than pion's timer an allocation is ended. Pion's timer runs concurrently with its request
// handler and can then meet a permission whose own timer is not yet set, a nil dereference; ours waits for the handler.
const lifetimeMargin = 5 * time.Second

// idleEnough is when an allocation may be replaced by its user's next one: a live one carries media or ICE's consent checks,
// every 5 s at the least (RFC 7675, section 5.1). Without this, a client that changes its network and restarts ICE would find its
// quota full of allocations that it can no longer reach, for up to ten minutes.
const idleEnough = 10 * time.Second

// tombstone is how long a 5-tuple stays unusable after its allocation has ended: pion's relay goroutine ends by deleting
// whatever is allocated to the 5-tuple, which must not be a new allocation.
const tombstone = time.Second

// table holds the allocations and the quotas over them.
type table struct {
	limits Limits

	mu         sync.RWMutex
	byKey      map[clientKey]*allocation
	byUser     map[string]int
	bySource   map[sourceKey]int
	byRelayed  map[netip.AddrPort]struct{}
	tombstones map[clientKey]time.Duration
	idle       chan struct{} // closed when empty; made by waitEmpty
}

func newTable(limits Limits) *table {
	return &table{
		limits: limits, byKey: make(map[clientKey]*allocation), byUser: make(map[string]int), bySource: make(map[sourceKey]int),
		byRelayed: make(map[netip.AddrPort]struct{}), tombstones: make(map[clientKey]time.Duration),
	}
}

func (t *table) size() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.byKey)
}

func (t *table) get(key clientKey) *allocation {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byKey[key]
}

// admit says whether one more allocation fits, and makes room for it where the user has one that lies idle; the caller wakes
// the janitor then. add asks again.
func (t *table) admit(key clientKey, participant string, now time.Duration) (r reason, wake bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r = t.room(key, participant, now)
	if r != reasonQuotaUser {
		return r, false
	}
	var idlest *allocation
	for _, a := range t.byKey {
		if a.participant == participant && !a.replaced && now-time.Duration(a.active.Load()) >= idleEnough &&
			(idlest == nil || a.active.Load() < idlest.active.Load()) {
			idlest = a
		}
	}
	if idlest == nil {
		return r, false
	}
	idlest.replaced = true
	decrement(t.byUser, participant)
	return t.room(key, participant, now), true
}

func (t *table) room(key clientKey, participant string, now time.Duration) reason {
	switch until, dead := t.tombstones[key]; {
	case t.byKey[key] != nil, dead && now < until, len(t.byKey) >= t.limits.Allocations:
		return reasonQuotaTotal
	case t.byUser[participant] >= t.limits.AllocationsPerUser:
		return reasonQuotaUser
	case t.bySource[sourcePrefix(key.src.Addr())] >= t.limits.AllocationsPerAddress:
		return reasonQuotaAddress
	}
	return reasonNone
}

// add takes the allocation in, or says which quota is full.
func (t *table) add(a *allocation, now time.Duration) reason {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.room(a.key, a.participant, now); r != reasonNone {
		return r
	}
	delete(t.tombstones, a.key)
	a.active.Store(int64(now))
	a.deadline = now + minLifetime*time.Second - lifetimeMargin // until the response says better
	t.byKey[a.key] = a
	t.byUser[a.participant]++
	t.bySource[sourcePrefix(a.key.src.Addr())]++
	t.byRelayed[a.relayed] = struct{}{}
	return reasonNone
}

// remove is called once, by relayConn.Close.
func (t *table) remove(a *allocation, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byKey[a.key] != a {
		return
	}
	delete(t.byKey, a.key)
	delete(t.byRelayed, a.relayed)
	if !a.replaced {
		decrement(t.byUser, a.participant)
	}
	decrement(t.bySource, sourcePrefix(a.key.src.Addr()))
	t.tombstones[a.key] = now + tombstone
	if len(t.byKey) == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

func decrement[K comparable](m map[K]int, k K) {
	if m[k]--; m[k] <= 0 {
		delete(m, k)
	}
}

// extend notes the lifetime that pion has granted. Pion answers a repeated Allocate from memory and lets its timer run on, so
// only the first answer to an Allocate counts.
func (t *table) extend(key clientKey, lifetime time.Duration, refresh bool, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.byKey[key]; a != nil && (refresh || !a.granted) {
		a.granted, a.deadline = true, now+lifetime-lifetimeMargin
	}
}

// revoke marks a participant's allocations and tells whether there were any.
func (t *table) revoke(participant string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	any := false
	for _, a := range t.byKey {
		if a.participant == participant {
			a.revoked, any = true, true
		}
	}
	return any
}

// due appends the allocations that must end now, each once, and buries old tombstones.
func (t *table) due(now time.Duration, revoked, expired []*allocation) (r, e []*allocation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, until := range t.tombstones {
		if now >= until {
			delete(t.tombstones, k)
		}
	}
	for _, a := range t.byKey {
		switch {
		case a.ending:
			continue
		case a.revoked:
			revoked = append(revoked, a)
		case a.replaced, now >= a.deadline:
			expired = append(expired, a)
		default:
			continue
		}
		a.ending = true
	}
	return revoked, expired
}

// isRelayed tells whether an address is one of the relayed ones.
func (t *table) isRelayed(ap netip.AddrPort) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	_, ok := t.byRelayed[ap]
	return ok
}

// mayPermit tells whether the allocation may have a permission for peer, a new one or one it has.
func (t *table) mayPermit(a *allocation, peer netip.Addr) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(a.permissions) < t.limits.Permissions || slices.Contains(a.permissions, peer)
}

// mayBind is mayPermit for channels.
func (t *table) mayBind(a *allocation, peer netip.AddrPort) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(a.channels) < t.limits.Channels || slices.Contains(a.channels, peer)
}

func (t *table) setPermission(key clientKey, peer netip.Addr, on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.byKey[key]; a != nil {
		a.permissions = set(a.permissions, peer, on)
	}
}

func (t *table) setChannel(key clientKey, peer netip.AddrPort, on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.byKey[key]; a != nil {
		a.channels = set(a.channels, peer, on)
	}
}

// set makes list hold v once, or not at all.
func set[T comparable](list []T, v T, on bool) []T {
	i := slices.Index(list, v)
	switch {
	case on && i < 0:
		return append(list, v)
	case !on && i >= 0:
		return slices.Delete(list, i, i+1)
	}
	return list
}

// waitEmpty returns a channel that is closed when the last allocation has gone.
func (t *table) waitEmpty() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	done := make(chan struct{})
	if len(t.byKey) == 0 {
		close(done)
	} else {
		t.idle = done
	}
	return done
}
