package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"go.uber.org/zap"
)

// startTimeout is how long the server in this process may take to open its listener; it takes milliseconds.
const startTimeout = 10 * time.Second

// storeLimit bounds the store on disk: settings and bans take a few megabytes.
const storeLimit = 1 << 30

// check refuses what would be open to strangers, and names the key that is missing.
func (n *NATSConfig) check() error {
	fault := func(key, format string, args ...any) error {
		return fmt.Errorf("%w: %s: %s", ErrConfig, key, fmt.Sprintf(format, args...))
	}
	if n.Key != "" {
		if _, err := rawKey(n.Key); err != nil {
			return fault("cluster.key", "%v", err)
		}
	}
	if n.URL != "" {
		return n.checkOutside(fault)
	}
	if !n.Listen.IsValid() {
		if len(n.Routes) > 0 {
			return fault("cluster.listen", "is needed with cluster.routes")
		}
		return nil
	}
	local := n.Listen.Addr().IsLoopback()
	for _, r := range n.Routes {
		host, port, err := net.SplitHostPort(r)
		if p, perr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || perr != nil || p == 0 {
			return fault("cluster.routes", "%q is not host:port", r)
		}
		local = local && isLoopback(host)
	}
	if !local && n.Key == "" {
		return fault("cluster.key", "is needed unless all nodes are on this machine's loopback: anybody who reaches %v could take part", n.Listen)
	}
	return nil
}

func (n *NATSConfig) checkOutside(fault func(key, format string, args ...any) error) error {
	if n.Listen.IsValid() || len(n.Routes) > 0 {
		return fault("cluster.nats_url", "is given together with cluster.listen or cluster.routes: either a server in this process, or one outside")
	}
	local := true
	for _, s := range strings.Split(n.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(s))
		if err != nil || u.Hostname() == "" || u.Scheme != "tls" && u.Scheme != "nats" || u.User != nil {
			return fault("cluster.nats_url", "%q is not like tls://nats.example:4222", s)
		}
		if isLoopback(u.Hostname()) {
			continue
		}
		local = false
		if u.Scheme != "tls" {
			return fault("cluster.nats_url", "%q is not on loopback: use tls://", s)
		}
	}
	if n.UserKey != "" {
		prefix, _, err := nkeys.DecodeSeed([]byte(n.UserKey))
		if err != nil || prefix != nkeys.PrefixByteUser {
			return fault("cluster.nats_nkey_file", "is not an nkey seed of a user (SU…)")
		}
	}
	switch {
	case !local && n.UserKey == "":
		return fault("cluster.nats_nkey_file", "is needed for a NATS that is not on loopback")
	case !local && n.Key == "":
		return fault("cluster.key", "is needed to secure media between nodes")
	}
	return nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// serverOptions are those of the server in this process. What is not set is off: no leaf nodes, gateways, MQTT,
// WebSocket, monitoring, no_auth_user. Clients are this process only: a lone node does not listen at all; a clustered one
// must (the library starts routes after its client listener), on a loopback port of the system's choice, where one key
// that never leaves this process can log in.
func serverOptions(cfg *Config, user nkeys.KeyPair) (*server.Options, error) {
	n := cfg.NATS
	public, err := user.PublicKey()
	if err != nil {
		return nil, err
	}
	opts := &server.Options{
		ServerName: cfg.Node, NoSigs: true, DontListen: true,
		Nkeys:      []*server.NkeyUser{{Nkey: public}},
		MaxPayload: maxMessage, MaxPending: 16 << 20, WriteDeadline: 2 * time.Second,
		PingInterval: natsPing, MaxPingsOut: natsPings,
		DisableJetStreamBanner: true,
	}
	if n.Dir != "" {
		opts.JetStream, opts.StoreDir, opts.SyncAlways = true, n.Dir, true
		opts.JetStreamMaxMemory, opts.JetStreamMaxStore = storeLimit/16, storeLimit
	}
	if !n.Listen.IsValid() {
		return opts, nil
	}
	opts.DontListen, opts.Host, opts.Port = false, "127.0.0.1", server.RANDOM_PORT
	opts.Cluster = server.ClusterOpts{
		Name: "parley", Host: n.Listen.Addr().String(), Port: int(n.Listen.Port()),
		PingInterval: natsPing, MaxPingsOut: natsPings, WriteDeadline: 2 * time.Second, PoolSize: 1,
		Compression: server.CompressionOpts{Mode: server.CompressionOff},
	}
	if n.Listen.Port() == 0 {
		opts.Cluster.Port = server.RANDOM_PORT
	}
	var password *url.Userinfo
	if n.Key != "" {
		raw, err := rawKey(n.Key)
		if err != nil {
			return nil, err
		}
		if opts.Cluster.TLSConfig, err = routeTLS(raw, cfg.Node); err != nil {
			return nil, err
		}
		opts.Cluster.Username, opts.Cluster.Password = "parley", routePassword(raw)
		opts.Cluster.TLSTimeout = 5
		password = url.UserPassword("parley", routePassword(raw))
	}
	for _, r := range n.Routes {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats-route", User: password, Host: r})
	}
	return opts, nil
}

// startServer runs the server in this process.
func startServer(ctx context.Context, opts *server.Options, log *zap.Logger) (*server.Server, error) {
	opts = opts.Clone() // the library fills in defaults
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("nats server: %w", err)
	}
	sl := &serverLog{log: log}
	s.SetLoggerV2(sl, false, false, false)
	s.Start()
	for deadline := time.Now().Add(startTimeout); !s.ReadyForConnections(50 * time.Millisecond); {
		switch why := sl.fatal(); {
		case why != "":
			err = errors.New(why)
		case ctx.Err() != nil:
			err = ctx.Err()
		case time.Now().After(deadline):
			err = errors.New("did not come up in time; is another node using the store or the address?")
		}
		if err != nil {
			s.Shutdown()
			s.WaitForShutdown()
			return nil, fmt.Errorf("nats server: %w", err)
		}
	}
	return s, nil
}
