package link

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"parley/sfu"
)

// person is a participant, as a value of the room's state under its id.
type person struct {
	Name    string   `json:"n,omitempty"`
	Kind    sfu.Kind `json:"k,omitempty"`
	Muted   bool     `json:"m,omitempty"`
	MutedBy string   `json:"b,omitempty"`
	Publish bool     `json:"p,omitempty"`
	Score   int      `json:"q,omitempty"`
	Since   int64    `json:"s"`
}

// news is an event of a room.
type news struct {
	Kind   string    `json:"t"` // newsChat, newsMute or newsLeft
	Who    string    `json:"p"` // who wrote, who is to be muted, who has left
	By     string    `json:"b,omitempty"`
	Muted  bool      `json:"m,omitempty"`
	Text   string    `json:"x,omitempty"`
	At     time.Time `json:"a,omitzero"`
	Reason string    `json:"r,omitempty"`
}

const (
	newsChat = "chat"
	newsMute = "mute"
	newsLeft = "left"
)

func encode(v any) []byte {
	data, _ := json.Marshal(v) // structs of strings and numbers cannot fail
	return data
}

func personOf(p sfu.Presence) person {
	out := person{Name: p.Name, Kind: p.Kind, Muted: p.Muted, Publish: p.Publish, Score: p.Score, Since: p.Since}
	if p.Muted {
		out.MutedBy = p.MutedBy
	}
	return out
}

func (p person) presence(id string) sfu.Presence {
	return sfu.Presence{
		ParticipantInfo: sfu.ParticipantInfo{ID: id, Name: p.Name, Kind: p.Kind, Muted: p.Muted, Publish: p.Publish},
		MutedBy:         p.MutedBy, Score: p.Score, Since: p.Since,
	}
}

// trunkAddress writes where a node's trunks are and of which process, as members show it: "10.0.0.1:10100/1763640000".
func trunkAddress(a netip.AddrPort, epoch uint64) string {
	return a.String() + "/" + strconv.FormatUint(epoch, 10)
}

func parseTrunk(s string) (netip.AddrPort, uint64, error) {
	addr, number, ok := strings.Cut(s, "/")
	if !ok {
		return netip.AddrPort{}, 0, fmt.Errorf("trunk %q: no epoch", s)
	}
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return a, 0, fmt.Errorf("trunk %q: %w", s, err)
	}
	epoch, err := strconv.ParseUint(number, 10, 64)
	if err != nil || epoch == 0 {
		return a, 0, fmt.Errorf("trunk %q: bad epoch", s)
	}
	return a, epoch, nil
}
