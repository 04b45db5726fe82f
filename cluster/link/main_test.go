package link

import (
	"errors"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"parley/mixer"
	"parley/neteq"
	"parley/sfu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var nop = zap.NewNop()

// recorder is a room of the sfu.
type recorder struct {
	seen  []sfu.Presence
	from  []string
	said  []sfu.ChatEvent
	asked []string
}

func (r *recorder) Appear(node string, p sfu.Presence) {
	r.seen, r.from = append(r.seen, p), append(r.from, node)
}
func (r *recorder) Vanish(node, _, _ string)       { r.from = append(r.from, node) }
func (r *recorder) Said(e sfu.ChatEvent)           { r.said = append(r.said, e) }
func (r *recorder) MuteAsked(by, _ string, _ bool) { r.asked = append(r.asked, by) }
func (r *recorder) AddSource(string, map[uint8]neteq.Format) (*mixer.Source, error) {
	return nil, errors.New("no mixer here")
}
