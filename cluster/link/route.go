package link

import (
	"hash/fnv"
	"slices"
)

// meshNodes is how many nodes of a room send to each other directly. With more, a node sends to its own region's nodes and
// to one hub in each other region, which passes on.
const meshNodes = 8

// routes are the ways of a room's speech out of this node.
type routes struct {
	direct []string            // where what is said here goes
	onward map[string][]string // where what comes from a node is passed on to; nil: nowhere
}

// route finds them. Nodes are those of the room, this one not among them; region tells theirs. All nodes of a room come to
// matching answers when they see the same nodes; while they do not, somebody is heard by two ways, of which the inlet takes
// the shorter, or for a moment by none.
func route(room, self string, nodes []string, region func(string) string, mesh int) routes {
	if len(nodes)+1 <= mesh {
		return routes{direct: nodes}
	}
	own := region(self)
	var r routes
	var mine []string // of this node's region
	others := map[string][]string{}
	for _, n := range nodes {
		if at := region(n); at == own {
			mine = append(mine, n)
		} else {
			others[at] = append(others[at], n)
		}
	}
	r.direct = slices.Clone(mine)
	for _, list := range others {
		r.direct = append(r.direct, hub(room, list))
	}
	slices.Sort(r.direct)
	if len(mine) == 0 || hub(room, append(slices.Clone(mine), self)) != self {
		return r
	}
	r.onward = map[string][]string{}
	for _, list := range others {
		for _, n := range list {
			r.onward[n] = mine
		}
	}
	return r
}

// hub is the node of a list that all choose alike for a room, and differently from room to room.
func hub(room string, nodes []string) string {
	return slices.MinFunc(nodes, func(a, b string) int {
		switch x, y := weight(room, a), weight(room, b); {
		case x < y:
			return -1
		case x > y:
			return 1
		case a < b:
			return -1
		default:
			return 1
		}
	})
}

func weight(room, node string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(room)) // never fails
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(node))
	x := h.Sum64() // whose high bits hardly depend on the last bytes
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x
}
