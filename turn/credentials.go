package turn

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the TURN REST convention: HMAC-SHA1
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pionturn "github.com/pion/turn/v5"
)

// credentials mints and checks usernames of the form expiry:participant:serial, where expiry is in Unix seconds, participant is
// query-escaped and serial grows with every minting. The password is base64(HMAC-SHA1(secret, username)), as in
// draft-uberti-behave-turn-rest, so that anything which knows the secret can mint too (it may leave the serial out).
type credentials struct {
	secret []byte
	realm  string
	ttl    time.Duration
	serial atomic.Uint64

	mu      sync.Mutex
	revoked map[string]revocation // by escaped participant
}

// revocation makes every credential of a participant with a smaller serial worthless. It is forgotten when they have all expired.
type revocation struct {
	before uint64
	until  time.Time
}

// maxParticipant keeps the username far below the 508 bytes of RFC 8489, section 14.3.
const maxParticipant = 192

// clockSkew is how much longer than the TTL a credential minted elsewhere may still be good for.
const clockSkew = time.Minute

func newCredentials(secret []byte, realm string, ttl time.Duration) *credentials {
	c := &credentials{secret: append([]byte(nil), secret...), realm: realm, ttl: ttl, revoked: make(map[string]revocation)}
	c.serial.Store(uint64(time.Now().UnixNano())) // grows over restarts too
	return c
}

// escapeParticipant makes an identity fit between the colons.
func escapeParticipant(participant string) string {
	e := url.QueryEscape(participant)
	if len(e) > maxParticipant {
		sum := sha256.Sum256([]byte(participant))
		return hex.EncodeToString(sum[:])
	}
	return e
}

func (c *credentials) mint(participant string, now time.Time) (username, password string) {
	serial := strconv.FormatUint(c.serial.Add(1), 16)
	if participant = escapeParticipant(participant); participant == "" {
		participant = "guest-" + serial // so that guests do not share one quota
	}
	username = strconv.FormatInt(now.Add(c.ttl).Unix(), 10) + ":" + participant + ":" + serial
	return username, c.password(username)
}

func (c *credentials) password(username string) string {
	mac := hmac.New(sha1.New, c.secret)
	mac.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// identity is what a username says.
type identity struct {
	participant string // escaped
	serial      uint64 // 0: minted elsewhere
	key         []byte // the long-term key that a request must be signed with (RFC 8489, section 9.2.2)
	live        bool   // not expired
}

// check takes a username apart. ok is false for what cannot be of this server's minting or has been revoked; that the client
// knows the password is for the caller to find out.
func (c *credentials) check(username, realm string, now time.Time) (id identity, ok bool) {
	expiry, rest, found := strings.Cut(username, ":")
	if !found || realm != c.realm {
		return id, false
	}
	tail := ""
	id.participant = rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		id.participant, tail = rest[:i], rest[i+1:]
	}
	until, err := strconv.ParseInt(expiry, 10, 64)
	if err != nil || id.participant == "" || until > now.Add(c.ttl+clockSkew).Unix() {
		return id, false
	}
	if tail != "" {
		if id.serial, err = strconv.ParseUint(tail, 16, 64); err != nil {
			return id, false
		}
	}
	if c.gone(id.participant, id.serial) {
		return id, false
	}
	id.key = pionturn.GenerateAuthKey(username, realm, c.password(username))
	id.live = now.Unix() < until
	return id, true
}

// gone tells whether a credential has been revoked.
func (c *credentials) gone(participant string, serial uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.revoked[participant]
	return ok && serial <= r.before
}

// revoke ends every credential of a participant minted so far and returns the participant as check names it.
func (c *credentials) revoke(participant string, now time.Time) string {
	p := escapeParticipant(participant)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.revoked[p] = revocation{before: c.serial.Load(), until: now.Add(c.ttl + clockSkew)}
	return p
}

// forget drops the revocations whose credentials have all expired.
func (c *credentials) forget(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, r := range c.revoked {
		if now.After(r.until) {
			delete(c.revoked, p)
		}
	}
}

// Credentials mints a username and a password for one join of a participant; new allocations can be made with them for ttl,
// allocations that exist may be refreshed until Revoke. An empty participant is a guest: each minting has quotas of its own, and it
// cannot be revoked. Safe for concurrent use.
func (s *Server) Credentials(participant string, now time.Time) (username, password string, ttl time.Duration) {
	username, password = s.creds.mint(participant, now)
	return username, password, s.creds.ttl
}

// Revoke ends what a participant holds here: its credentials at once, its allocations as soon as the janitor has run, which it
// does right away. It returns without waiting. Credentials minted afterwards (the participant joins again) are good.
func (s *Server) Revoke(participant string) {
	p := s.creds.revoke(participant, time.Now())
	if s.table.revoke(p) {
		s.wake()
	}
}
