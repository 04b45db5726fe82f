package sfu

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// floodEnv makes the test binary the flooding client of TestSSRCFloodMemory: in a process of its own, so that what the
// sender needs is not counted.
const floodEnv = "PARLEY_SFU_FLOOD"

// TestFloodClient is that client. It offers on stdout, takes the answer on stdin, sends 100 packets of one stream, and
// on "go" a packet of each of 50,000 streams; it ends with stdin.
func TestFloodClient(t *testing.T) {
	if os.Getenv(floodEnv) == "" {
		t.Skip("run by TestSSRCFloodMemory")
	}
	pc, err := clientAPI(t, clientOptions{pt: 111}).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.GracefulClose()
	track := &rawTrack{pt: 111, bound: make(chan struct{})}
	if _, err := pc.AddTransceiverFromTrack(track); err != nil {
		t.Fatal(err)
	}
	up := make(chan struct{})
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			close(up)
		}
	})
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	fmt.Println("\n" + base64.StdEncoding.EncodeToString([]byte(pc.LocalDescription().SDP)))
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	if !in.Scan() {
		t.Fatal("no answer")
	}
	answer, err := base64.StdEncoding.DecodeString(in.Text())
	if err != nil {
		t.Fatal(err)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(answer)}); err != nil {
		t.Fatal(err)
	}
	<-up
	<-track.bound
	h := rtp.Header{Version: 2, PayloadType: 111, SSRC: track.ssrc}
	source := tone{hz: 700}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		<-tick.C
		_, _ = track.writer.WriteRTP(&h, source.frame())
		h.SequenceNumber++
		h.Timestamp += 960
	}
	in.Scan()
	for i := range uint32(50000) {
		h.SSRC = 0x20000000 + i
		_, _ = track.writer.WriteRTP(&h, source.frame()[:40])
		if i%500 == 0 {
			<-tick.C
		}
	}
	in.Scan()
}

// TestSSRCFloodMemory is the figure of I-12: what a flood of 50,000 streams makes a node grow by.
func TestSSRCFloodMemory(t *testing.T) {
	n := newTestNode(t)
	j, err := n.Join(t.Context(), JoinRequest{Room: "r", Publish: true, Subscribe: true})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFloodClient$")
	cmd.Env = append(os.Environ(), floodEnv+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		if err := cmd.Wait(); err != nil {
			t.Errorf("client: %v", err)
		}
	}()
	out := bufio.NewScanner(stdout)
	out.Buffer(nil, 1<<20)
	var offer []byte
	for len(offer) == 0 && out.Scan() {
		offer, _ = base64.StdEncoding.DecodeString(strings.TrimSpace(out.Text()))
		if !strings.HasPrefix(string(offer), "v=0") {
			offer = nil
		}
	}
	answer, err := n.Offer(t.Context(), j.Participant, string(offer))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(stdin, base64.StdEncoding.EncodeToString([]byte(answer)))
	eventually(t, "the call is up", func() bool { return n.Stats().RTPIn == 100 })
	before := heap()
	fmt.Fprintln(stdin, "go")
	eventually(t, "the flood is dropped", func() bool { return n.Stats().Dropped["ssrc"] > 5000 }) // the kernel may drop, too
	growth := heap() - before
	t.Logf("%d of up to 50000 packets dropped at the socket, heap grew by %.0f KiB", n.Stats().Dropped["ssrc"], growth/1024)
	if growth > 128<<10 {
		t.Errorf("the heap grew by %.0f KiB", growth/1024)
	}
}

// heap is what is in use after everything unused is gone.
func heap() float64 {
	least := math.Inf(1)
	for range 3 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		least = min(least, float64(m.HeapAlloc))
	}
	return least
}
