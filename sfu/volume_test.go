package sfu

import (
	"errors"
	"testing"
)

func TestPersonalVolume(t *testing.T) {
	n := newTestNode(t)
	a := n.newClient(clientOptions{hz: 700})
	b := n.newClient(clientOptions{hz: 1100})
	c := n.newClient(clientOptions{hz: 1500})
	a.awaitTone(1100)
	a.awaitTone(1500)
	if err := n.SetVolume(t.Context(), a.id, c.id, 0); err != nil {
		t.Fatal(err)
	}
	a.forget()
	a.awaitTone(1100, 1500) // without the one it does not want to hear
	b.forget()
	b.awaitTone(1500) // whom the others hear as before
	b.awaitTone(700)

	// It is the participant's, not the connection's: a new one keeps it.
	if err := a.negotiate(nil, nil); err != nil {
		t.Fatal(err)
	}
	a.forget()
	a.awaitTone(1100, 1500)

	if err := n.SetVolume(t.Context(), a.id, c.id, 1); err != nil {
		t.Fatal(err)
	}
	a.awaitTone(1500)

	for _, volume := range []float64{-1, MaxVolume + 1} {
		if err := n.SetVolume(t.Context(), a.id, c.id, volume); err == nil {
			t.Errorf("volume %v taken", volume)
		}
	}
	if err := n.SetVolume(t.Context(), a.id, "nobody", 0.5); !errors.Is(err, ErrNoParticipant) {
		t.Errorf("volume of nobody: %v", err)
	}
}
