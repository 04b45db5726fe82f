package cluster

import (
	"context"
	"encoding/base64"
	"regexp"
)

// maxMessage is the largest message, the limit that NATS servers are given too. Larger ones are dropped and counted.
const maxMessage = 64 << 10

// chunk is how much of a long list goes into one message: room is left for the envelope and for JSON's quoting.
const chunk = 40 << 10

// Bus carries messages between nodes: at most once, in order for one sender and subject, to everyone who subscribed.
// Publish, Subscribe and Unsubscribe never block and may be called from any goroutine, before Run too.
type Bus interface {
	// Run works until ctx ends; deliver is called from one goroutine at a time and must not block. It owns data.
	// gap is called when messages may have been lost: after a reconnection, or when this node was too slow.
	Run(ctx context.Context, deliver func(subject string, data []byte), gap func()) error
	// Publish sends, or drops while there is no connection. The bus owns data from then on.
	Publish(subject string, data []byte)
	Subscribe(subject string)
	Unsubscribe(subject string)
}

// Subjects. Room names are encoded, so that no name is a wildcard, a separator, or somebody else's subject.
const subjectAll = "all"

func subjectBeat(node string) string { return "beat." + encodeToken(node) }
func subjectNode(node string) string { return "node." + encodeToken(node) }
func subjectRoom(room string) string { return "room." + encodeToken(room) }

// encodeToken makes one subject token (letters, digits, '-', '_') of any name; different names give different tokens.
func encodeToken(name string) string { return base64.RawURLEncoding.EncodeToString([]byte(name)) }

// maxName is the longest name of a room or key, in bytes. 256 make a subject token of 342, below NATS's limit of 4096.
const maxName = 256

var nodeName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`)

// ValidNode reports whether a node may have that name.
func ValidNode(name string) bool { return nodeName.MatchString(name) }
