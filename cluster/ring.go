package cluster

import (
	"cmp"
	"slices"
)

// score is a hash of two names that every node computes alike (FNV-1a with the finaliser of MurmurHash3). Whoever has
// the lowest score for a room among some nodes is chosen by all who see the same nodes: rendezvous hashing.
func score(a, b string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(a) {
		h = (h ^ uint64(a[i])) * 1099511628211
	}
	h = (h ^ 0xff) * 1099511628211
	for i := range len(b) {
		h = (h ^ uint64(b[i])) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// chosen is the node with the lowest score for a room; empty for no nodes.
func chosen(room string, nodes []string) string {
	best, bestScore := "", uint64(0)
	for _, n := range nodes {
		if s := score(room, n); best == "" || s < bestScore || s == bestScore && n < best {
			best, bestScore = n, s
		}
	}
	return best
}

// ring is the members ordered by the hash of their names.
type ring []string

func newRing(nodes []string) ring {
	r := slices.Clone(nodes)
	slices.SortFunc(r, func(a, b string) int {
		return cmp.Or(cmp.Compare(score("ring", a), score("ring", b)), cmp.Compare(a, b))
	})
	return r
}

// watchersOf are the nodes that follow node on the ring, at most n; node itself need not be on it.
func (r ring) watchersOf(node string, n int) []string {
	at, found := slices.BinarySearchFunc(r, node, func(e, target string) int {
		return cmp.Or(cmp.Compare(score("ring", e), score("ring", target)), cmp.Compare(e, target))
	})
	others := len(r)
	if found {
		at++
		others--
	}
	out := make([]string, 0, min(n, others))
	for i := range min(n, others) {
		out = append(out, r[(at+i)%len(r)])
	}
	return out
}

// watchedBy are the nodes that node watches: those before it on the ring.
func (r ring) watchedBy(node string, n int) []string {
	at := slices.Index(r, node)
	if at < 0 {
		return nil
	}
	out := make([]string, 0, n)
	for i := 1; i <= min(n, len(r)-1); i++ {
		out = append(out, r[(at-i+len(r))%len(r)])
	}
	return out
}
