package load

import (
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Ways to join.
const (
	ViaWHIP  = "whip"  // everybody by WHIP with a sendrecv offer
	ViaWHEP  = "whep"  // listeners by WHEP, speakers by WHIP
	ViaWS    = "ws"    // everybody by WebSocket
	ViaJanus = "janus" // rooms of a Janus AudioBridge
)

// What participants send who do not speak.
const (
	Silent = "silent" // nothing, as a muted browser does
	DTX    = "dtx"    // what a quiet microphone yields: a packet every 400 ms
	Noise  = "noise"  // a packet in every frame, too quiet to be chosen
)

// ErrConfig marks a configuration that cannot be.
var ErrConfig = errors.New("load configuration")

// Config says what crowd there is and what is expected of the server. DefaultConfig has the defaults.
type Config struct {
	URL          string        // http://host:port of the node
	Rooms        int           // at least 1
	Participants int           // in each room, speakers included
	Speakers     int           // of them
	Listeners    string        // Silent, DTX or Noise: what the others send
	Via          string        // ViaWHIP, …
	RoomPrefix   string        // rooms are named prefix-0, prefix-1, …
	Duration     time.Duration // measured, after everybody is there
	Warmup       time.Duration // between the last join and the measurement
	JoinRate     float64       // participants a second
	JoinTimeout  time.Duration // for one, with all its attempts

	Frame   time.Duration // of what is sent: 10, 20, 40 or 60 ms
	Bitrate int           // in bit/s
	Speech  []float32     // 48 kHz mono that speakers send in place of tones; then voices are not told apart
	Latency bool          // the first speaker of each room chirps, and delays are measured
	RED     bool          // offer redundancy
	Sample  int           // every Sample-th participant is decoded, and two in each room at the least; 0: nobody
	Loud    int           // speakers that the server mixes at a time; 0: all
	Loss    float64       // 0..1 of packets lost on purpose, each way
	Churn   float64       // participants that leave and are replaced, a second
	Turn    time.Duration // after which the next participants speak; 0: the same all the time

	Token     func(room, name string) (string, error) // nil: none
	Insecure  bool                                    // take any TLS certificate
	CPUs      []int                                   // this process is already pinned to them; for the report
	ServerPID int                                     // of the server when it runs here; 0: unknown

	Limits   Limits
	Progress func(Progress) // called each second; nil: not

	sabotage func(*run)   // called as the measurement begins, for tests of what must be noticed
	look     func(*total) // called each second of it, for tests that wait for something
}

// Limits are what a run must hold to pass. Zero values are not checked, unless said otherwise.
type Limits struct {
	GapP999    time.Duration // between packets of consecutive frames
	DelayP50   time.Duration
	DelayP95   time.Duration
	Lost       float64 // share of packets, beyond those dropped on purpose; always checked
	Failed     int     // joins; always checked
	Silence    float64 // share of time with silence where sound should be; always checked
	Bottleneck bool    // fail when the crowd was the bottleneck
}

// DefaultConfig is one small room.
func DefaultConfig() Config {
	return Config{
		Rooms: 1, Participants: 10, Speakers: 3, Listeners: Silent, Via: ViaWHIP, RoomPrefix: "load",
		Duration: time.Minute, Warmup: 3 * time.Second, JoinRate: 25, JoinTimeout: 30 * time.Second,
		Frame: 20 * time.Millisecond, Bitrate: 32000, Sample: 50, Loud: 5,
		Limits: Limits{Lost: 0.001, Silence: 0.01},
	}
}

func (c *Config) check() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fail("%q is no http or https URL", c.URL)
	case c.Rooms < 1 || c.Participants < 1:
		return fail("%d rooms of %d", c.Rooms, c.Participants)
	case c.Speakers < 0 || c.Speakers > c.Participants:
		return fail("%d speakers among %d participants", c.Speakers, c.Participants)
	case c.Speakers > Voices/2:
		return fail("%d speakers in a room, at most %d can be told apart", c.Speakers, Voices/2)
	case c.Listeners != Silent && c.Listeners != DTX && c.Listeners != Noise:
		return fail("listeners that send %q", c.Listeners)
	case c.Via != ViaWHIP && c.Via != ViaWHEP && c.Via != ViaWS && c.Via != ViaJanus:
		return fail("joining by %q", c.Via)
	case c.Via == ViaWHEP && (c.Listeners != Silent || c.Turn > 0):
		return fail("who listens by WHEP can neither send nor speak in turn")
	case c.Frame != 10*time.Millisecond && c.Frame != 20*time.Millisecond && c.Frame != 40*time.Millisecond && c.Frame != 60*time.Millisecond:
		return fail("frames of %v", c.Frame)
	case c.JoinRate <= 0 || c.Churn < 0 || c.Loss < 0 || c.Loss >= 1 || c.Sample < 0 || c.Duration <= 0:
		return fail("a rate, share or time is out of range")
	case c.Turn > 0 && c.Turn < 2*settle:
		return fail("turns of %v, shorter than %v", c.Turn, 2*settle)
	case c.Turn > 0 && c.Latency:
		return fail("delays are measured with speakers that stay")
	}
	return nil
}
