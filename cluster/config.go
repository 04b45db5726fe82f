package cluster

import (
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"go.uber.org/zap"
)

// Config says who this node is and how it reaches the others.
type Config struct {
	Node    string // unique name, see ValidNode
	Region  string // where it is, in the operator's words (eu-west); empty: none
	URL     string // where clients reach it, for redirects and fallbacks (https://a.example:8443); empty: never sent there
	Trunk   string // where other nodes send media to, ip:port; empty: this node has no trunks
	Version string // of the program, for people
	// Size is how many nodes the cluster is meant to have; majorities are of this many at least, and the store keeps 1,
	// 3 or 5 replicas by it. 0: as many as have been seen, and one replica.
	Size int
	// Policy is what placement does; the zero Policy is the default.
	Policy Policy

	NATS NATSConfig
	// Bus replaces NATS, for tests and simulations; there is no store then.
	Bus Bus

	// OnEvent is told what happens to nodes; see the package's text for when. nil: nobody.
	OnEvent func(Event)
	Log     *zap.Logger // nil: nothing is logged

	// wall is read once, for the first incarnation. nil: time.Now.
	wall func() time.Time
	// forgetful nodes keep no directory of others' rooms: simulations of very many nodes in one process.
	forgetful bool
	// decode replaces decode, for simulations: what a thousand nodes in one process read is decoded once. Messages are
	// read only.
	decode func(subject string, data []byte) (*message, error)
}

// NATSConfig chooses between three buses: a server in this process that opens no port (the zero value, but for Dir), one
// in this process that other nodes' servers are joined to by routes (Listen), or servers outside (URL).
type NATSConfig struct {
	// Dir is where the server in this process keeps the store. Empty: no store.
	Dir string
	// Listen is the address for other nodes' routes. Zero: none.
	Listen netip.AddrPort
	// Routes are the other nodes' Listen addresses, host:port. The node's own may be among them.
	Routes []string
	// Key is the cluster key, an nkey seed (SC…) that all nodes share: NewKey makes one. Routes are mutual TLS with
	// certificates made from it, and trunks derive their secret from it. Needed unless Listen and all routes are loopback.
	Key string

	// URL of servers outside, comma-separated: tls://a:4222,tls://b:4222. Plain nats:// on loopback only.
	URL string
	// UserKey is the nkey seed (SU…) that this node presents to them. Needed unless they are on loopback.
	UserKey string
	// CAFile is the PEM file of the authority that signs their certificates. Empty: the system's.
	CAFile string
}

func (cfg *Config) check() error {
	if !ValidNode(cfg.Node) {
		return fmt.Errorf("%w: cluster.node: %q is no name for a node: lower case letters, digits and inner '-', '.', '_', at most 63", ErrConfig, cfg.Node)
	}
	if len(cfg.Region) > maxName || len(cfg.Trunk) > maxName || len(cfg.Version) > maxName || len(cfg.URL) > 1024 {
		return fmt.Errorf("%w: a name is longer than %d bytes", ErrConfig, maxName)
	}
	if cfg.URL != "" {
		u, err := url.Parse(cfg.URL)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("%w: cluster.url: %q is not like https://a.example:8443", ErrConfig, cfg.URL)
		}
	}
	if cfg.Trunk != "" {
		if _, err := netip.ParseAddrPort(cfg.Trunk); err != nil {
			return fmt.Errorf("%w: trunk address: %w", ErrConfig, err)
		}
	}
	if cfg.Size < 0 {
		return fmt.Errorf("%w: cluster.size: %d is negative", ErrConfig, cfg.Size)
	}
	if cfg.Bus != nil {
		return nil
	}
	return cfg.NATS.check()
}
