package link

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"parley/sfu"
)

func TestTrunkAddress(t *testing.T) {
	for _, a := range []string{"10.0.0.1:10100", "[fd00::1]:10100"} {
		addr, epoch := netip.MustParseAddrPort(a), uint64(1763640000123456789)
		got, e, err := parseTrunk(trunkAddress(addr, epoch))
		if err != nil || got != addr || e != epoch {
			t.Errorf("%s came back as %v, %d, %v", a, got, e, err)
		}
	}
	for _, s := range []string{"", "10.0.0.1:10100", "10.0.0.1/5", "10.0.0.1:10100/", "10.0.0.1:10100/0", "10.0.0.1:10100/-1", "a:1/5"} {
		if _, _, err := parseTrunk(s); err == nil {
			t.Errorf("%q is an address", s)
		}
	}
}

// What a node shows of a participant is what the others see.
func TestPersonGoesThere(t *testing.T) {
	p := sfu.Presence{
		ParticipantInfo: sfu.ParticipantInfo{ID: "ann", Name: "Ann 😀", Kind: sfu.KindWHIP, Muted: true, Publish: true},
		MutedBy:         "self", Score: 3, Since: 1763640000123,
	}
	r := &recorder{}
	h := handler{&room{side: r, homes: map[string]string{}}}
	h.PeerState("b", "ann", encode(personOf(p)))
	if len(r.seen) != 1 || r.seen[0] != p {
		t.Errorf("%+v came as %+v", p, r.seen)
	}
	if h.r.homes["ann"] != "b" {
		t.Errorf("at home %v", h.r.homes)
	}
}

// Bytes that mean nothing change nothing, whoever sent them.
func FuzzPeers(f *testing.F) {
	f.Add("ann", encode(person{Name: "Ann"}), encode(news{Kind: newsChat, Who: "ann", Text: "hi", At: time.Unix(1, 0)}))
	f.Add("", []byte("{}"), []byte(`{"t":"left"}`))
	f.Add("x", []byte("null"), []byte("[1]"))
	f.Fuzz(func(t *testing.T, key string, state, event []byte) {
		r := &recorder{}
		h := handler{&room{side: r, homes: map[string]string{}, log: nop}}
		if state == nil {
			state = []byte{}
		}
		h.PeerState("b", key, state)
		h.PeerEvent("b", event)
		for _, p := range r.seen {
			if p.ID != key {
				t.Errorf("%q speaks for %q", key, p.ID)
			}
		}
		for _, node := range r.from {
			if node != "b" {
				t.Errorf("b speaks for %s", node)
			}
		}
		if strings.Contains(key, "\x00") && len(r.seen) > 1 {
			t.Error("one value, several people")
		}
	})
}
