package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"parley/internal/testkit"
	"parley/internal/testkit/echo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// room is an echo behind the WHIP surface, so that the client can be tested without a mixer.
type room struct {
	echo    *echo.Server
	deleted chan string
}

func (r *room) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch {
	case req.Method == http.MethodDelete:
		r.deleted <- req.URL.Path
	case req.URL.Path == "/whip/full":
		http.Error(w, `{"code":"room_full"}`, http.StatusServiceUnavailable)
	case req.Method == http.MethodPost && req.Header.Get("Content-Type") == "application/sdp":
		offer, _ := io.ReadAll(req.Body)
		answer, err := r.echo.Answer(string(offer))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Location", req.URL.Path+"/0123")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, answer)
	default:
		http.Error(w, "", http.StatusMethodNotAllowed)
	}
}

func newRoom(t *testing.T) (*room, string, *http.Client) {
	e, err := echo.New()
	require.NoError(t, err)
	r := &room{echo: e, deleted: make(chan string, 1)}
	srv := httptest.NewServer(r)
	hc := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		hc.CloseIdleConnections()
		srv.Close()
		require.NoError(t, e.Close())
	})
	return r, srv.URL, hc
}

func TestToneComesBackFromEcho(t *testing.T) {
	room, base, hc := newRoom(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := Join(ctx, Config{BaseURL: base, Room: "a room", Name: "Go", HTTP: hc})
	require.NoError(t, err)
	require.NotContains(t, c.Offer(), "a=extmap:")
	require.Equal(t, base+"/whip/a%20room/0123", c.Resource())

	speaking, hush := context.WithCancel(ctx)
	spoken := make(chan error, 1)
	go func() {
		spoken <- c.Speak(speaking, Loop(testkit.Tone(440, -20, time.Second)), SpeakConfig{Padding: 20})
	}()
	_, err = c.Listen(ctx, 200*time.Millisecond)
	require.NoError(t, err)
	pcm, err := c.Listen(ctx, time.Second)
	require.NoError(t, err)
	hush()
	require.NoError(t, <-spoken)
	require.InDelta(t, -20, testkit.ToneLevel(pcm, 440), 1)
	require.Less(t, testkit.ToneLevel(pcm, 1000), -70.0)
	s := c.Stats()
	require.Zero(t, s.Lost+s.Jumps+s.Extensions)
	require.Equal(t, 1, s.Streams)
	require.Equal(t, s.Packets, s.Types[111])

	require.NoError(t, c.Close(ctx))
	require.Equal(t, "/whip/a room/0123", <-room.deleted)
}

func TestRefusedJoinSaysWhy(t *testing.T) {
	_, base, hc := newRoom(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := Join(ctx, Config{BaseURL: base, Room: "full", HTTP: hc})
	var status *StatusError
	require.True(t, errors.As(err, &status), "%v", err)
	require.Equal(t, http.StatusServiceUnavailable, status.Status)
	require.Contains(t, status.Body, "room_full")
}

func TestOfferIsTheCallers(t *testing.T) {
	_, base, hc := newRoom(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := Join(ctx, Config{BaseURL: base, Room: "r", HTTP: hc, PayloadType: 96, Codec: "OPUS",
		EditOffer: func(sdp string) string {
			require.Contains(t, sdp, "a=rtpmap:96 OPUS/48000/2")
			require.NotContains(t, sdp, "a=fmtp:96")
			return "not SDP"
		}})
	require.Error(t, err)
	require.True(t, strings.Contains(err.Error(), "400"), err)
}

func TestOnceEndsAndFills(t *testing.T) {
	s := Once([]float32{1, 2, 3})
	frame := make([]float32, 2)
	require.True(t, s(frame))
	require.Equal(t, []float32{1, 2}, frame)
	require.False(t, s(frame))
	require.Equal(t, []float32{3, 0}, frame)
}
