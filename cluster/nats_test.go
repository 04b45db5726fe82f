package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// eventually waits for something that real servers do in their own time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !ok() {
		select {
		case <-limit.C:
			t.Fatalf("not within 30 s: %s", what)
		case <-poll.C:
		}
	}
}

// running is a node on real NATS.
type running struct {
	*Cluster
	stop func()
}

func run(t *testing.T, cfg Config) *running {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // waited for by stop
		defer close(done)
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	r := &running{c, func() { cancel(); <-done }}
	t.Cleanup(r.stop)
	return r
}

// freePorts finds ports that nobody uses now.
func freePorts(t *testing.T, n int) []netip.AddrPort {
	t.Helper()
	var out []netip.AddrPort
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().(*net.TCPAddr).AddrPort())
	}
	return out
}

// trio is the configuration of three nodes in this process, joined by routes with TLS.
func trio(t *testing.T) []Config {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	ports := freePorts(t, 3)
	var routes []string
	for _, p := range ports {
		routes = append(routes, p.String())
	}
	var out []Config
	for i, p := range ports {
		out = append(out, Config{Node: fmt.Sprint("n", i), NATS: NATSConfig{Listen: p, Routes: routes, Key: key}})
	}
	return out
}

// listening lists the TCP ports of this process.
func listening(t *testing.T) map[string]bool {
	t.Helper()
	inodes := map[string]bool{}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("needs /proc")
	}
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, "socket:[") {
			inodes[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
		}
	}
	out := map[string]bool{}
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && inodes[f[9]] {
				out[f[1]] = true
			}
		}
	}
	return out
}

func TestLoneNodeOpensNoPort(t *testing.T) {
	before := listening(t)
	n := run(t, Config{Node: "alone", NATS: NATSConfig{Dir: t.TempDir()}})
	<-n.Store().Ready() // no quorum is needed
	if _, err := n.Store().Put(t.Context(), "a", []byte("b")); err != nil {
		t.Error(err)
	}
	for port := range listening(t) {
		if !before[port] {
			t.Errorf("listens on %s", port)
		}
	}
	if n.Degraded() || len(n.Members()) != 1 {
		t.Errorf("degraded %v, members %v", n.Degraded(), n.Members())
	}
	if d := n.Place("town hall", Hint{}); d.Action != Serve {
		t.Errorf("placed: %+v", d)
	}
}

func TestNodesOnRealNATS(t *testing.T) {
	cfgs := trio(t)
	dead := make(chan time.Time, 10)
	cfgs[0].OnEvent = func(e Event) {
		if e.Kind == NodeLeft && e.Member.Node == "n2" {
			dead <- time.Now()
		}
	}
	nodes := []*running{run(t, cfgs[0]), run(t, cfgs[1]), run(t, cfgs[2])}
	for _, n := range nodes {
		eventually(t, "three members", func() bool { return n.Stats().Members[Alive] == 3 })
	}
	// N-10: names that would be wildcards, separators or too clever on NATS, all at once; nobody hears another room.
	names := []string{"a.b", "a.*", "*", ">", "a.>", " ", "room with spaces", "a\nb", "\x00", "ß→世", "$SYS.REQ", "all", "../..",
		strings.Repeat("x", maxName), "QQ", "a", "A"}
	var rooms [2][]*Room
	var spies []*spy
	for _, name := range names {
		for i, n := range nodes[:2] {
			s := newSpy()
			r, err := n.Enter(name, s)
			if err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			rooms[i] = append(rooms[i], r)
			if i == 1 {
				spies = append(spies, s)
			}
		}
	}
	for i := range names {
		eventually(t, "both know of each other", func() bool { return len(rooms[0][i].Peers())+len(rooms[1][i].Peers()) == 2 })
	}
	for i, name := range names {
		rooms[0][i].Set("in", []byte(name))
		rooms[0][i].Send([]byte(name))
	}
	for i, name := range names {
		eventually(t, "state and event of "+name, func() bool {
			spies[i].mu.Lock()
			defer spies[i].mu.Unlock()
			return spies[i].peers["n0"]["in"] == name && len(spies[i].events) > 0
		})
	}
	for i, name := range names {
		if got := spies[i].events; len(got) != 1 || got[0] != "n0: "+name {
			t.Errorf("%q heard %q", name, got)
		}
	}
	for _, n := range nodes {
		if s := n.Stats(); s.DeadLetters > 0 || s.Unsent > 0 {
			t.Errorf("%+v", s)
		}
	}
	nodes[2].stop()
	<-dead
}

// N-10: garbage on the bus harms nobody and is counted.
func TestDeadLetters(t *testing.T) {
	n := run(t, Config{Node: "n0"})
	eventually(t, "connection", func() bool { return n.Stats().Connected })
	conn, err := n.nats.connect("attacker")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := newSpy()
	if _, err := n.Enter("town hall", s); err != nil {
		t.Fatal(err)
	}
	eventually(t, "subscriptions", func() bool { return n.nats.conn.NumSubscriptions() == 3 })
	if err := n.nats.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	town := natsPrefix + subjectRoom("town hall")
	bad := map[string]string{
		"no JSON": "{", "another kind": `{"k":"x","f":"n1","e":1}`, "nobody": `{"k":"room","e":1,"r":"town hall"}`,
		"epoch 0": `{"k":"room","f":"n1","r":"town hall"}`, "wrong types": `{"k":1,"f":[],"e":"x"}`, "null": "null", "list": "[]",
		"another room": `{"k":"room","f":"n1","e":1,"r":"elsewhere","s":1,"o":[{"v":"eA=="}]}`,
		"bad name":     `{"k":"room","f":"N *","e":1,"r":"town hall"}`, "deep": strings.Repeat("[", 60000),
		"long room": `{"k":"room","f":"n1","e":1,"r":"` + strings.Repeat("x", maxName+1) + `"}`,
	}
	for _, data := range bad {
		if err := conn.Publish(town, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "dead letters", func() bool { return n.Stats().DeadLetters == uint64(len(bad)) })
	if err := conn.Publish(town, make([]byte, maxMessage+1)); !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("64 KiB and one byte: %v", err)
	}
	if len(s.events) > 0 || len(s.peers) > 0 || len(n.Members()) != 1 {
		t.Errorf("it took effect: %v %v %v", s.events, s.peers, n.Members())
	}
}

// N-06, N-07: what the process refuses to start with.
func TestRefusesToStartOpen(t *testing.T) {
	key, _ := NewKey()
	user, _ := nkeys.CreateUser()
	userSeed, _ := user.Seed()
	public := netip.MustParseAddrPort("192.0.2.1:7000")
	local := netip.MustParseAddrPort("127.0.0.1:7000")
	for name, tc := range map[string]struct {
		n    NATSConfig
		want string // in the error; empty: starts
	}{
		"address of a network, no key":  {NATSConfig{Listen: public}, "cluster.key"},
		"all addresses, no key":         {NATSConfig{Listen: netip.MustParseAddrPort("[::]:7000")}, "cluster.key"},
		"route to a network, no key":    {NATSConfig{Listen: local, Routes: []string{"b.example:7000"}}, "cluster.key"},
		"a key that is none":            {NATSConfig{Listen: public, Key: "SCA"}, "cluster.key"},
		"a user's key":                  {NATSConfig{Listen: public, Key: string(userSeed)}, "cluster.key"},
		"routes without an address":     {NATSConfig{Routes: []string{"127.0.0.1:7000"}}, "cluster.listen"},
		"route without a port":          {NATSConfig{Listen: local, Routes: []string{"localhost"}}, "cluster.routes"},
		"outside, plain":                {NATSConfig{URL: "nats://b.example", Key: key, UserKey: string(userSeed)}, "cluster.nats_url"},
		"outside, one of them plain":    {NATSConfig{URL: "tls://a.example,nats://b.example", Key: key, UserKey: string(userSeed)}, "cluster.nats_url"},
		"outside, password in the URL":  {NATSConfig{URL: "tls://u:p@b.example", Key: key, UserKey: string(userSeed)}, "cluster.nats_url"},
		"outside, no nkey":              {NATSConfig{URL: "tls://b.example", Key: key}, "cluster.nats_nkey"},
		"outside, cluster's key for it": {NATSConfig{URL: "tls://b.example", Key: key, UserKey: key}, "cluster.nats_nkey"},
		"outside, no cluster key":       {NATSConfig{URL: "tls://b.example", UserKey: string(userSeed)}, "cluster.key"},
		"outside and inside":            {NATSConfig{URL: "nats://127.0.0.1:4222", Listen: local}, "cluster.nats_url"},
		"alone":                         {NATSConfig{}, ""},
		"loopback":                      {NATSConfig{Listen: local, Routes: []string{"localhost:7001", "[::1]:7002"}}, ""},
		"network with key":              {NATSConfig{Listen: public, Routes: []string{"b.example:7000"}, Key: key}, ""},
		"outside, all given":            {NATSConfig{URL: "tls://a.example,tls://b.example", Key: key, UserKey: string(userSeed)}, ""},
	} {
		_, err := New(Config{Node: "n0", NATS: tc.n})
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.want != "" && (!errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	opts, err := serverOptions(&Config{Node: "n0", NATS: NATSConfig{Listen: public, Key: key}}, user)
	if err != nil {
		t.Fatal(err)
	}
	if opts.NoAuthUser != "" || opts.HTTPPort != 0 || opts.HTTPSPort != 0 || opts.LeafNode.Port != 0 || opts.Gateway.Port != 0 ||
		opts.MQTT.Port != 0 || opts.Websocket.Port != 0 || opts.ProfPort != 0 || opts.MaxPayload != maxMessage || opts.Host != "127.0.0.1" {
		t.Errorf("%+v", opts)
	}
}

// N-06: strangers at every port that a clustered node opens.
func TestStrangersAreRefused(t *testing.T) {
	before := listening(t)
	cfgs := trio(t)
	n := run(t, cfgs[0])
	eventually(t, "connection", func() bool { return n.Stats().Connected })
	opened := 0
	for port := range listening(t) {
		if !before[port] {
			opened++
		}
	}
	if opened != 2 {
		t.Errorf("%d ports are open, want that of routes and the library's on loopback", opened)
	}
	client := n.nats.server.Addr().(*net.TCPAddr)
	if !client.IP.IsLoopback() {
		t.Errorf("clients could come to %v", client)
	}
	user, _ := nkeys.CreateUser()
	public, _ := user.PublicKey()
	for name, opt := range map[string][]nats.Option{
		"nothing": nil, "password": {nats.UserInfo("parley", "parley")}, "token": {nats.Token("x")}, "another nkey": {nats.Nkey(public, user.Sign)},
		"system": {nats.UserInfo("sys", "")},
	} {
		conn, err := nats.Connect("nats://"+client.String(), append(opt, nats.Timeout(2*time.Second))...)
		if err == nil {
			conn.Close()
			t.Errorf("client with %s was let in", name)
		}
	}
	// Routes: another key, no key, and clients that take the port for theirs.
	other, _ := NewKey()
	var strangers []*Cluster
	for i, key := range []string{other, ""} {
		c, err := New(Config{Node: fmt.Sprint("evil", i), NATS: NATSConfig{
			Listen: freePorts(t, 1)[0], Routes: []string{cfgs[0].NATS.Listen.String()}, Key: key,
		}})
		if err != nil {
			t.Fatal(err)
		}
		strangers = append(strangers, c)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); _ = c.Run(ctx) }() // waited for below
		t.Cleanup(func() { cancel(); <-done })
	}
	for _, c := range strangers {
		eventually(t, "stranger's server", func() bool { return c.nats.connected() })
	}
	for i := range 3 {
		conn, err := nats.Connect("nats://"+cfgs[0].NATS.Listen.String(), nats.Timeout(300*time.Millisecond))
		if err == nil {
			conn.Close()
			t.Errorf("client %d was let in at the port for routes", i)
		}
	}
	// A friend that comes after them is in, and they are not.
	friend := run(t, cfgs[1])
	eventually(t, "the friend", func() bool { return n.Stats().Members[Alive] == 2 && friend.Stats().Members[Alive] == 2 })
	if n.nats.server.NumRoutes() > 2 { // one connection and one of the system account's
		t.Errorf("%d routes", n.nats.server.NumRoutes())
	}
	for _, c := range strangers {
		if len(c.Members()) != 1 {
			t.Errorf("a stranger knows %v", c.Members())
		}
	}
}

// N-02: with every NATS server gone, rooms and placement go on, the store fails clearly and keeps what may wait; when one
// is back, all is reconciled.
func TestAllNATSGone(t *testing.T) {
	dir, port := t.TempDir(), int(freePorts(t, 1)[0].Port())
	start := func() *server.Server {
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoSigs: true, JetStream: true, StoreDir: dir, SyncAlways: true})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("server not ready")
		}
		return s
	}
	s := start()
	var nodes []*running
	var spies []*spy
	var rooms []*Room
	for i := range 2 {
		n := run(t, Config{Node: fmt.Sprint("n", i), NATS: NATSConfig{URL: fmt.Sprint("nats://127.0.0.1:", port)}})
		<-n.Store().Ready()
		spy := newSpy()
		r, err := n.Enter("town hall", spy)
		if err != nil {
			t.Fatal(err)
		}
		nodes, spies, rooms = append(nodes, n), append(spies, spy), append(rooms, r)
	}
	eventually(t, "both in the room", func() bool { return len(rooms[0].Peers()) == 1 && len(rooms[1].Peers()) == 1 })
	if _, err := nodes[0].Store().Put(t.Context(), "rooms/town hall/topic", []byte("before")); err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	s.WaitForShutdown()
	eventually(t, "loss is noticed", func() bool { return nodes[1].Stats().Members[Lost] == 1 })

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := nodes[0].Store().Put(ctx, "rooms/town hall/topic", []byte("during")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("put without a server: %v", err)
	}
	if v, _, ok := nodes[0].Store().Get("rooms/town hall/topic"); !ok || string(v) != "before" {
		t.Errorf("get without a server: %q %v", v, ok)
	}
	if err := nodes[1].Store().Later("bans/eve", []byte("for a day")); err != nil {
		t.Error(err)
	}
	if v, _, ok := nodes[1].Store().Get("bans/eve"); !ok || string(v) != "for a day" {
		t.Errorf("a ban that waits is not in force: %q %v", v, ok)
	}
	for _, n := range nodes {
		if d := n.Place("town hall", Hint{}); d.Action == Refuse || d.Action == Redirect {
			t.Errorf("a join was not served: %+v", d)
		}
		if _, err := n.Enter("local room", newSpy()); err != nil {
			t.Error(err)
		}
	}
	rooms[0].Set("ann", []byte("joined during the failure"))

	s = start()
	defer func() { s.Shutdown(); s.WaitForShutdown() }()
	for i, n := range nodes {
		eventually(t, "both alive again", func() bool { return n.Stats().Members[Alive] == 2 && !n.Degraded() })
		eventually(t, "the room is whole", func() bool { return len(rooms[i].Peers()) == 1 })
		eventually(t, "the ban is known", func() bool {
			v, revision, _ := n.Store().Get("bans/eve")
			return string(v) == "for a day" && revision > 0
		})
	}
	eventually(t, "who joined meanwhile is known", func() bool {
		spies[1].mu.Lock()
		defer spies[1].mu.Unlock()
		return spies[1].peers["n0"]["ann"] == "joined during the failure"
	})
}
