package link

import (
	"fmt"
	"slices"
	"testing"
)

// Whatever is said on one node of a room comes to every other node exactly once, over two trunks at most, and no node sends to
// more than its own region and one node of each other.
func TestRouteReachesEverybodyOnce(t *testing.T) {
	for nodes := 2; nodes <= 40; nodes++ {
		for regions := 1; regions <= 5; regions++ {
			region := func(n string) string {
				var i int
				_, _ = fmt.Sscanf(n, "n%d", &i)
				return fmt.Sprint(i % regions)
			}
			var all []string
			for i := range nodes {
				all = append(all, fmt.Sprintf("n%d", i))
			}
			room := fmt.Sprintf("room %d", nodes)
			at := map[string]routes{}
			for _, n := range all {
				others := slices.DeleteFunc(slices.Clone(all), func(o string) bool { return o == n })
				at[n] = route(room, n, others, region, meshNodes)
			}
			for _, speaker := range all {
				got := map[string]int{}
				for _, first := range at[speaker].direct {
					got[first]++
					for _, second := range at[first].onward[speaker] {
						got[second]++
					}
				}
				for _, n := range all {
					want := 1
					if n == speaker {
						want = 0
					}
					if got[n] != want {
						t.Fatalf("%d nodes, %d regions: %s hears %s %d times", nodes, regions, n, speaker, got[n])
					}
				}
				if most := (nodes+regions-1)/regions - 1 + regions - 1; nodes > meshNodes && len(at[speaker].direct) > most {
					t.Fatalf("%d nodes, %d regions: %s sends to %d", nodes, regions, speaker, len(at[speaker].direct))
				}
			}
		}
	}
}

// Hubs of rooms differ, so that no node is everybody's.
func TestHubsDiffer(t *testing.T) {
	count := map[string]int{}
	for i := range 3000 {
		count[hub(fmt.Sprintf("room-%d", i), []string{"node-a", "node-b", "node-c"})]++
	}
	for n, c := range count {
		if c < 850 || c > 1150 {
			t.Errorf("%s is the hub of %d rooms of 3000", n, c)
		}
	}
}
