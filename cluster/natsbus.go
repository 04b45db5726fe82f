package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"go.uber.org/zap"
)

// natsPrefix keeps our subjects apart from others' on a NATS that is shared.
const natsPrefix = "parley."

const (
	// outBytes is how much may wait to be sent. More means that the connection stands still: what comes then is dropped,
	// and those who miss it ask.
	outBytes = 8 << 20
	// natsPing: a connection that does not answer two of them is closed (NATS's default is two minutes).
	natsPing  = time.Second
	natsPings = 2
	// natsClose bounds the last flush.
	natsClose = 500 * time.Millisecond
)

// natsBus is a Bus on NATS: with a server inside this process, or servers outside.
type natsBus struct {
	cfg  NATSConfig
	node string
	log  *zap.Logger

	opts *server.Options // nil: servers outside
	user nkeys.KeyPair   // what this process presents to the server; nil: nothing

	up   chan struct{} // closed when connections can be made
	wake chan struct{} // capacity 1

	mu     sync.Mutex
	server *server.Server
	conn   *nats.Conn
	queue  []outgoing
	queued int // bytes
}

// outgoing is a publication (data not nil), a subscription, or the end of one.
type outgoing struct {
	subject string
	data    []byte
	end     bool
}

func newNATSBus(cfg *Config, log *zap.Logger) (*natsBus, error) {
	b := &natsBus{
		cfg: cfg.NATS, node: cfg.Node, log: log.Named("nats"),
		up: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	var err error
	if cfg.NATS.URL != "" {
		if cfg.NATS.UserKey != "" {
			b.user, err = nkeys.FromSeed([]byte(cfg.NATS.UserKey))
		}
		return b, err
	}
	if b.user, err = nkeys.CreateUser(); err != nil { // for this process only: nobody else can log in
		return nil, err
	}
	b.opts, err = serverOptions(cfg, b.user)
	return b, err
}

func (b *natsBus) Publish(subject string, data []byte) { b.put(outgoing{subject: subject, data: data}) }
func (b *natsBus) Subscribe(subject string)            { b.put(outgoing{subject: subject}) }
func (b *natsBus) Unsubscribe(subject string)          { b.put(outgoing{subject: subject, end: true}) }

func (b *natsBus) put(o outgoing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o.data != nil && b.queued+len(o.data) > outBytes {
		return
	}
	b.queue = append(b.queue, o)
	b.queued += len(o.data)
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// connected reports whether messages can get out.
func (b *natsBus) connected() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conn != nil && b.conn.IsConnected()
}

// Run implements Bus.
func (b *natsBus) Run(ctx context.Context, deliver func(string, []byte), gap func()) error {
	if b.opts != nil {
		s, err := startServer(ctx, b.opts, b.log)
		if err != nil {
			return err
		}
		defer func() {
			s.Shutdown()
			s.WaitForShutdown()
		}()
		b.mu.Lock()
		b.server = s
		b.mu.Unlock()
	}
	incoming := make(chan *nats.Msg, 8192)
	conn, err := b.connect("bus", nats.NoEcho(), nats.ReconnectBufSize(-1),
		nats.ReconnectHandler(func(*nats.Conn) { gap() }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrSlowConsumer) {
				gap()
				return
			}
			b.log.Warn("nats", zap.Error(err))
		}))
	if err != nil {
		return err
	}
	defer conn.Close()
	b.mu.Lock()
	b.conn = conn
	b.mu.Unlock()
	close(b.up)

	var receiving sync.WaitGroup
	receiveCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer receiving.Wait()
	defer stop()
	receiving.Go(func() { // ends with stop, waited for above
		for {
			select {
			case m := <-incoming:
				deliver(strings.TrimPrefix(m.Subject, natsPrefix), m.Data)
			case <-receiveCtx.Done():
				return
			}
		}
	})
	subs := map[string]*nats.Subscription{}
	for {
		select {
		case <-b.wake:
			b.sendQueued(conn, subs, incoming)
		case <-ctx.Done():
			b.sendQueued(conn, subs, incoming)
			if conn.IsConnected() {
				_ = conn.FlushTimeout(natsClose) // the goodbye; others find out without it
			}
			return nil
		}
	}
}

// sendQueued hands what has gathered to the client library, which may block.
func (b *natsBus) sendQueued(conn *nats.Conn, subs map[string]*nats.Subscription, incoming chan *nats.Msg) {
	b.mu.Lock()
	queue := b.queue
	b.queue, b.queued = nil, 0
	b.mu.Unlock()
	for _, o := range queue {
		switch sub := subs[o.subject]; {
		case o.data != nil:
			_ = conn.Publish(natsPrefix+o.subject, o.data) // without a connection it is dropped, as Bus says
		case o.end && sub != nil:
			_ = sub.Unsubscribe()
			delete(subs, o.subject)
		case !o.end && sub == nil:
			sub, err := conn.ChanSubscribe(natsPrefix+o.subject, incoming)
			if err != nil {
				b.log.Error("subscription refused", zap.String("subject", o.subject), zap.Error(err))
				continue
			}
			subs[o.subject] = sub
		}
	}
}

// connect makes a connection of its own for one user of the bus. It succeeds without a server outside: the library goes
// on trying.
func (b *natsBus) connect(name string, more ...nats.Option) (*nats.Conn, error) {
	b.mu.Lock()
	s := b.server
	b.mu.Unlock()
	opts := []nats.Option{
		nats.Name(b.node + " " + name), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(natsPing / 4), nats.ReconnectJitter(natsPing/10, natsPing/10),
		nats.PingInterval(natsPing), nats.MaxPingsOutstanding(natsPings), nats.Timeout(2 * natsPing),
	}
	if b.user != nil {
		public, err := b.user.PublicKey()
		if err != nil {
			return nil, err
		}
		opts = append(opts, nats.Nkey(public, b.user.Sign))
	}
	url := b.cfg.URL
	if s != nil {
		opts = append(opts, nats.InProcessServer(s))
		url = ""
	} else if b.cfg.CAFile != "" {
		opts = append(opts, nats.RootCAs(b.cfg.CAFile))
	}
	conn, err := nats.Connect(url, append(opts, more...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to nats: %w", err)
	}
	return conn, nil
}
