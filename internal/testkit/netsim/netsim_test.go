package netsim

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLinkDelaysWithinJitter(t *testing.T) {
	l := NewLink(Conditions{Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond}, 1)
	var sum time.Duration
	overtakes := 0
	last := time.Duration(0)
	for i := range 10000 {
		now := time.Duration(i) * 20 * time.Millisecond
		at, again := l.Send(now, 100)
		require.Negative(t, again)
		require.GreaterOrEqual(t, at-now, 30*time.Millisecond)
		require.LessOrEqual(t, at-now, 70*time.Millisecond)
		sum += at - now
		if at < last {
			overtakes++
		}
		last = at
	}
	require.InDelta(t, 50, float64(sum.Milliseconds())/10000, 1)
	// Two delays uniform over 40 ms differ by more than 20 ms in the wrong direction in 1 of 8 cases.
	require.InDelta(t, 0.125, float64(overtakes)/10000, 0.02)
}

func TestLinkInOrder(t *testing.T) {
	l := NewLink(Conditions{Delay: 50 * time.Millisecond, Jitter: 50 * time.Millisecond, InOrder: true}, 1)
	var got []time.Duration
	for i := range 1000 {
		at, _ := l.Send(time.Duration(i)*time.Millisecond, 100)
		got = append(got, at)
	}
	require.True(t, slices.IsSorted(got))
}

func TestLinkLoss(t *testing.T) {
	for name, c := range map[string]Conditions{
		"independent": {Loss: 0.05}, "bursts": {Loss: 0.05, Burst: 4}, "all": {Loss: 1}, "none": {},
	} {
		l := NewLink(c, 7)
		lost, runs, before := 0, 0, false
		const n = 200000
		for i := range n {
			at, _ := l.Send(time.Duration(i), 100)
			if at < 0 {
				lost++
				if !before {
					runs++
				}
			}
			before = at < 0
		}
		require.InDelta(t, c.Loss, float64(lost)/n, 0.005, name)
		if c.Burst > 1 {
			require.InDelta(t, c.Burst, float64(lost)/float64(runs), 0.2, name)
		}
	}
}

func TestLinkRate(t *testing.T) {
	l := NewLink(Conditions{RateBps: 64000}, 1)
	// 132 + 28 bytes are 20 ms at 64 kbit/s: a packet every 10 ms fills the queue of 200 ms after 20 packets.
	lost := 0
	var worst time.Duration
	for i := range 1000 {
		now := time.Duration(i) * 10 * time.Millisecond
		at, _ := l.Send(now, 132)
		if at < 0 {
			lost++
		}
		worst = max(worst, at-now)
	}
	require.InDelta(t, 500, lost, 15)
	require.LessOrEqual(t, worst, 220*time.Millisecond)
}

func TestLinkDuplicatesAndReorders(t *testing.T) {
	l := NewLink(Conditions{Delay: 50 * time.Millisecond, Duplicate: 0.1, Reorder: 0.2}, 3)
	twice, early := 0, 0
	for range 10000 {
		first, second := l.Send(0, 100)
		if second >= 0 {
			twice++
		}
		if first == 0 {
			early++
		}
	}
	require.InDelta(t, 1000, twice, 100)
	require.InDelta(t, 2000, early, 150)
}

func TestConditionsValidate(t *testing.T) {
	for name, c := range map[string]Conditions{
		"loss above one": {Loss: 1.1}, "loss not a number": {Loss: math.NaN()}, "negative delay": {Delay: -1}, "duplicate": {Duplicate: -0.1},
		"reorder": {Reorder: 2}, "endless burst": {Loss: 1, Burst: 3},
	} {
		require.Error(t, c.Validate(), name)
	}
	require.NoError(t, Conditions{Loss: 0.05, Burst: 3, Delay: time.Second}.Validate())
}

// run starts f in a goroutine that the test waits for at its end.
func run(t *testing.T, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

func echoUDP(t *testing.T) *net.UDPConn {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromUDP(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDP(append([]byte(from.String()+" "), buf[:n]...), from)
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return conn
}

func TestUDPProxyRelaysAndRebinds(t *testing.T) {
	echo := echoUDP(t)
	p, err := ListenUDP("127.0.0.1:0", echo.LocalAddr().String(), Conditions{Delay: time.Millisecond}, Conditions{}, 1)
	require.NoError(t, err)
	var tapped []string // by one goroutine after the other, each of which the client waits for
	p.SetTap(func(up bool, data []byte, lost bool) {
		tapped = append(tapped, fmt.Sprintf("up %v, %d bytes, lost %v", up, len(data), lost))
	})
	run(t, p.Run)
	client, err := net.Dial("udp", p.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	ask := func() string {
		_, err := client.Write([]byte("hello"))
		require.NoError(t, err)
		buf := make([]byte, 2048)
		require.NoError(t, client.SetReadDeadline(time.Now().Add(5*time.Second)))
		n, err := client.Read(buf)
		require.NoError(t, err)
		return string(buf[:n])
	}
	first := ask()
	require.Equal(t, first, ask(), "the same upstream socket for the same client")
	require.Contains(t, first, " hello")
	p.Rebind()
	require.NotEqual(t, first, ask(), "a new upstream socket after a rebind")
	require.NoError(t, p.Set(Conditions{Loss: 1}, Conditions{}))
	_, err = client.Write([]byte("lost"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { up, _ := p.Counts(); return up.Lost == 1 }, 5*time.Second, time.Millisecond)
	up, down := p.Counts()
	require.Equal(t, Counts{Received: 4, Lost: 1, Delivered: 3}, up)
	require.Equal(t, Counts{Received: 3, Delivered: 3}, down)
	require.Error(t, p.Set(Conditions{Loss: 2}, Conditions{}))
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Len(t, tapped, 7)
	require.Equal(t, "up true, 5 bytes, lost false", tapped[0])
	require.Equal(t, fmt.Sprintf("up false, %d bytes, lost false", len(first)), tapped[1])
	require.Equal(t, "up true, 4 bytes, lost true", tapped[6])
}

func TestTCPProxyPassesStallsAndCuts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	run(t, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { _ = l.Close() })()
		for {
			c, err := l.Accept()
			if err != nil {
				return nil
			}
			r := bufio.NewReader(c)
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					break
				}
				_, _ = c.Write([]byte("re: " + line))
			}
			_ = c.Close()
		}
	})
	p, err := ListenTCP("127.0.0.1:0", l.Addr().String())
	require.NoError(t, err)
	run(t, p.Run)

	c, err := net.Dial("tcp", p.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	r := bufio.NewReader(c)
	say := func(s string) { _, err := c.Write([]byte(s + "\n")); require.NoError(t, err) }
	hear := func() (string, error) {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
		return r.ReadString('\n')
	}
	say("one")
	got, err := hear()
	require.NoError(t, err)
	require.Equal(t, "re: one\n", got)

	p.Set(Stall)
	say("two")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = r.ReadByte()
	require.Error(t, err, "nothing moves while stalled")
	p.Set(Pass)
	got, err = hear()
	require.NoError(t, err)
	require.Equal(t, "re: two\n", got)

	p.Set(Cut)
	_, err = hear()
	require.Error(t, err, "an open connection ends")
	again, err := net.Dial("tcp", p.Addr().String())
	if err == nil {
		require.NoError(t, again.SetReadDeadline(time.Now().Add(5*time.Second)))
		_, err = again.Read(make([]byte, 1))
		_ = again.Close()
	}
	require.Error(t, err, "a new connection ends")
}
