package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
)

// kind is what a message is about.
type kind string

const (
	kindBeat     kind = "beat"     // I live; Seq of my directory
	kindAnnounce kind = "announce" // about me: Member, and changes of my rooms when Set or Del are there
	kindMembers  kind = "members"  // to a newcomer: all that I know
	kindBye      kind = "bye"      // I leave
	kindAccuse   kind = "accuse"   // I do not hear Target any more
	kindFenced   kind = "fenced"   // to a node that was found dead: TargetEpoch is over
	kindDirAsk   kind = "dirask"   // send me your rooms
	kindDir      kind = "dir"      // all my rooms, in parts
	kindRoom     kind = "room"     // what happened in a room, at my side
	kindRoomAsk  kind = "roomask"  // send me your side of a room
	kindRoomAll  kind = "roomall"  // my whole side of a room, in parts
	kindDrain    kind = "drain"    // an operator wants you empty
)

// message is anything between nodes, as JSON.
type message struct {
	Kind        kind     `json:"k"`
	From        string   `json:"f"`
	Epoch       uint64   `json:"e"`
	Seq         uint64   `json:"s,omitempty"` // of the directory, or of this room
	Member      *Member  `json:"m,omitempty"`
	Members     []Member `json:"ms,omitempty"`
	Target      string   `json:"t,omitempty"`
	TargetEpoch uint64   `json:"te,omitempty"`
	Set         []claim  `json:"set,omitempty"`
	Del         []string `json:"del,omitempty"`
	Room        string   `json:"r,omitempty"`
	Ops         []op     `json:"o,omitempty"`
	Recent      []recent `json:"rc,omitempty"`
	Part        int      `json:"p,omitempty"` // 0-based
	Parts       int      `json:"pn,omitempty"`
}

// claim is one room at one node.
type claim struct {
	Room         string `json:"r"`
	Participants int    `json:"n,omitempty"`
	Epoch        uint64 `json:"e,omitempty"` // above 0: the node owns the room, by this epoch
}

// op is one change in a room: a key set or deleted, or an event (no key).
type op struct {
	Key   string `json:"k,omitempty"`
	Value []byte `json:"v"` // nil with a key: deleted
}

// recent is an event that was sent not long ago, for those who missed it.
type recent struct {
	Seq   uint64 `json:"s"`
	Value []byte `json:"v"`
}

// maxParts bounds lists in parts: a room's state of the largest values, one in each part, and as many again.
const maxParts = 2*maxRoomBytes/maxValue + 512

func (m *message) encode() ([]byte, error) {
	data, err := json.Marshal(m)
	if err == nil && len(data) > maxMessage {
		err = fmt.Errorf("%s message of %d bytes: %w", m.Kind, len(data), ErrTooLarge)
	}
	return data, err
}

var errMalformed = errors.New("malformed message")

// decode reads and checks a message that came on a subject.
func decode(subject string, data []byte) (*message, error) {
	if len(data) > maxMessage {
		return nil, ErrTooLarge
	}
	var m message
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	if !m.valid(subject) {
		return nil, errMalformed
	}
	return &m, nil
}

func (m *message) valid(subject string) bool {
	if !ValidNode(m.From) || m.Epoch == 0 || m.Target != "" && !ValidNode(m.Target) ||
		m.Part < 0 || m.Parts < 0 || m.Parts > maxParts || m.Part > 0 && m.Part >= m.Parts {
		return false
	}
	for i := range m.Set {
		if !validName(m.Set[i].Room) || m.Set[i].Participants < 0 {
			return false
		}
	}
	for _, room := range m.Del {
		if !validName(room) {
			return false
		}
	}
	for i := range m.Members {
		if !m.Members[i].valid() {
			return false
		}
	}
	for i := range m.Ops {
		if len(m.Ops[i].Key) > maxName {
			return false
		}
	}
	switch m.Kind {
	case kindBeat:
		return subject == subjectBeat(m.From)
	case kindAnnounce:
		return subject == subjectAll && m.Member != nil && m.Member.Node == m.From && m.Member.valid() && m.Member.Epoch == m.Epoch
	case kindBye:
		return subject == subjectAll
	case kindAccuse:
		return subject == subjectAll && m.Target != ""
	case kindMembers, kindDirAsk, kindDir, kindFenced, kindDrain:
		return true
	case kindRoom:
		return validName(m.Room) && subject == subjectRoom(m.Room) // a room's events on another's subject are nobody's
	case kindRoomAsk, kindRoomAll:
		return validName(m.Room)
	}
	return false
}

func (m *Member) valid() bool {
	return ValidNode(m.Node) && m.Epoch > 0 && len(m.Region) <= maxName && len(m.URL) <= 1024 && len(m.Trunk) <= maxName &&
		len(m.Version) <= maxName && m.Load.Used >= 0 && m.Load.Capacity >= 0 && m.Load.Participants >= 0
}

func validName(name string) bool { return name != "" && len(name) <= maxName }
