package config

import (
	"net/netip"
	"time"
)

// Config is the whole configuration. The tags drive everything else: yaml is the key, help the comment in the sample
// file and the flag's help, enum the allowed words, secret keeps a value out of --print-config.
type Config struct {
	HTTP         HTTP          `yaml:"http" help:"Plain HTTP: the client, /ws, WHIP and WHEP. Browsers allow the microphone here on localhost only."`
	HTTPS        HTTPS         `yaml:"https" help:"The same over TLS, for everybody who is not on this machine."`
	Admin        Admin         `yaml:"admin" help:"Metrics and profiling. Never expose this to a network you do not trust."`
	DataDir      string        `yaml:"data_dir" help:"Where the local CA and its certificate are kept. Empty: $STATE_DIRECTORY, else /var/lib/parley for root, else $XDG_DATA_HOME/parley, else ~/.local/share/parley."`
	Auth         Auth          `yaml:"auth" help:"Who may join. Without a key the server is open: anybody who can reach it may join any room, so it listens on loopback and private addresses only."`
	InsecureOpen bool          `yaml:"insecure_open" help:"Let an open server (no auth.key) listen on public addresses too. Anybody on the internet may then use it."`
	Origins      []string      `yaml:"origins" help:"Further web origins that may open /ws, exactly as a browser sends them (https://app.example.com). The server's own pages always may."`
	Media        Media         `yaml:"media" help:"Sockets for RTP."`
	ICE          ICE           `yaml:"ice" help:"How clients find a path to the media sockets."`
	TURN         TURN          `yaml:"turn" help:"The embedded STUN and TURN server. It relays to this node's own media sockets only. It runs in every mode and is advertised in the modes public and relay."`
	Rooms        Rooms         `yaml:"rooms" help:"Limits, and what is different in some rooms."`
	Audio        Audio         `yaml:"audio" help:"The Opus stream that every participant hears."`
	Cluster      Cluster       `yaml:"cluster" help:"Several nodes as one service (docs/cluster.md). Without listen and nats_url this node is alone and opens no port for others."`
	Log          Log           `yaml:"log" help:"Logging, to standard error."`
	DrainTimeout time.Duration `yaml:"drain_timeout" help:"After SIGTERM: how long clients get to leave before the process exits anyway."`
}

// HTTP is the plain HTTP listener.
type HTTP struct {
	Listen Listen `yaml:"listen" help:"Address and port. Empty: off."`
}

// HTTPS is the TLS listener.
type HTTPS struct {
	Enabled  bool   `yaml:"enabled" help:"Serve HTTPS."`
	Listen   Listen `yaml:"listen" help:"Address and port; without an address all of this machine's."`
	CertFile string `yaml:"cert_file" help:"PEM certificate chain. Empty, with key_file: a local CA is made on first start and kept in data_dir. A changed file is picked up while running."`
	KeyFile  string `yaml:"key_file" help:"PEM private key of cert_file."`
}

// Admin is the listener for operators.
type Admin struct {
	Listen Listen `yaml:"listen" help:"Address and port of /metrics. Empty: off."`
	Token  string `yaml:"token" secret:"true" help:"Bearer token that requests must carry, 16 bytes or more. Empty: none; then requests must name this machine by address or as localhost, which keeps web pages out (DNS rebinding)."`
	PProf  bool   `yaml:"pprof" help:"Also serve Go's profiles under /debug/pprof/."`
}

// Auth is the API key that signs tokens (JWT, HS256; iss is the key).
type Auth struct {
	Key        string `yaml:"key" help:"API key: the name of the secret, and the iss of its tokens."`
	Secret     string `yaml:"secret" secret:"true" help:"The secret, 32 bytes or more. Better: secret_file, or PARLEY_AUTH_SECRET."`
	SecretFile string `yaml:"secret_file" help:"File that holds the secret; white space around it is cut."`
}

// Media says where RTP is received and sent.
type Media struct {
	UDPPorts   PortRange  `yaml:"udp_ports" help:"UDP ports, one socket for each and address; participants are spread over them. At most 256."`
	TCPPort    int        `yaml:"tcp_port" help:"Port for ICE over TCP, for networks that block UDP. 0: off."`
	Interfaces Interfaces `yaml:"interfaces" help:"Which network interfaces, by glob (docker*, en?)."`
	CIDRs      CIDRs      `yaml:"cidrs" help:"Which addresses, by prefix (10.0.0.0/8)."`
	NAT1To1    Addrs      `yaml:"nat_1to1" help:"Public addresses that a 1:1 NAT (EC2, a port-forwarding router, a container host) maps to this machine: advertised beside the local ones. At most one IPv4 and one IPv6."`
}

// Interfaces filters network interfaces by name.
type Interfaces struct {
	Include []string `yaml:"include" help:"Only these. Empty: all. A name without wildcards here is taken even if exclude matches it."`
	Exclude []string `yaml:"exclude" help:"Never these: bridges of containers and virtual machines, which no client can reach."`
}

// CIDRs filters addresses by prefix.
type CIDRs struct {
	Include Prefixes `yaml:"include" help:"Only these. Empty: all."`
	Exclude Prefixes `yaml:"exclude" help:"Never these."`
}

// Modes of ICE.
const (
	ModeLAN    = "lan"
	ModePublic = "public"
	ModeRelay  = "relay"
	ModeCustom = "custom"
)

// ICE says what clients are told about STUN and TURN.
type ICE struct {
	Mode                   string      `yaml:"mode" enum:"lan,public,relay,custom" help:"lan: no ICE servers at all, works without internet and DNS. public: this node's STUN and TURN with short-lived credentials. relay: the same, and clients must go through TURN. custom: the servers listed below."`
	Servers                []ICEServer `yaml:"servers" help:"For mode custom: a list of {urls: [turn:host:3478], username: u, credential: c}."`
	PublicHost             string      `yaml:"public_host" help:"Host name or address under which clients reach TURN. Empty: the host they used for the page."`
	AllowPrivateCandidates string      `yaml:"allow_private_candidates" enum:"auto,true,false" help:"Send connectivity checks to private addresses that clients list. auto: yes, except with a key in the modes public, relay and custom when this node has a public address."`
}

// TURN is the embedded STUN and TURN server.
type TURN struct {
	Enabled       bool          `yaml:"enabled" help:"Run it."`
	Listen        Listen        `yaml:"listen" help:"Address and port for STUN and TURN over UDP and TCP. Empty: off."`
	TLSListen     Listen        `yaml:"tls_listen" help:"Address and port for TURN over TLS, with the certificate of https. Empty: off."`
	Secret        string        `yaml:"secret" secret:"true" help:"Secret that signs credentials, 32 bytes or more. Empty: a random one for each start."`
	Realm         string        `yaml:"realm" help:"TURN realm."`
	CredentialTTL time.Duration `yaml:"credential_ttl" help:"How long a credential may be used to allocate. Clients get a new one with each join."`
	RelayPorts    PortRange     `yaml:"relay_ports" help:"UDP ports of relayed addresses (20000-20100). Empty: any free port. They carry traffic within this machine only, so no firewall rule is needed."`
}

// Rooms limits rooms, and says what is different in some.
type Rooms struct {
	MaxParticipants int            `yaml:"max_participants" help:"Participants in one room."`
	MaxTotal        int            `yaml:"max_total" help:"Participants on this node."`
	EmptyTimeout    time.Duration  `yaml:"empty_timeout" help:"How long an empty room is kept."`
	Settings        []RoomSettings `yaml:"settings" help:"Rooms that are not as audio says, by name or pattern (docs/mixing.md); the first entry that matches counts: a list of {match: \"music-*\", mode: music, packet_ms: 10, stereo: true, leveling: false, speakers: 0, bitrate: 128000}, where only match is needed. mode: voice or music."`
}

// Audio is what the node sends.
type Audio struct {
	Bitrate    int  `yaml:"bitrate" help:"Opus bit rate in bit/s, 6000 to 510000: for good connections; others get less."`
	Complexity int  `yaml:"complexity" help:"Opus encoder complexity, 0 to 10. 5 costs half of 9."`
	FEC        bool `yaml:"fec" help:"In-band forward error correction."`
	DTX        bool `yaml:"dtx" help:"Send next to nothing in silence."`
	Speakers   int  `yaml:"speakers" help:"How many speak at a time, the loudest; nobody else is decoded. 0: all, which are then all decoded."`
	Leveling   bool `yaml:"leveling" help:"Bring everybody slowly to the same loudness, -23 LUFS."`
	Stereo     bool `yaml:"stereo" help:"Let every voice come from a direction of its own, for clients that play stereo."`
	PacketMs   int  `yaml:"packet_ms" help:"Length of a packet to listeners: 20, or 10 for 10 ms less delay and more packets."`
	KeyTones   bool `yaml:"key_tones" help:"Telephone keys that somebody presses (RFC 4733) are heard by the others."`
}

// Policies of cluster.placement.
const (
	PlacementRedirect = "redirect"
	PlacementExtend   = "extend"
)

// Cluster says who this node is among others and how it reaches them.
type Cluster struct {
	Node         string   `yaml:"node" help:"Name of this node, unique in the cluster: lower case letters, digits and inner - . _. Empty: the host name."`
	Region       string   `yaml:"region" help:"Where this node is, in words of your own (eu-west). Clients that name a region are served there."`
	URL          string   `yaml:"url" help:"Address under which clients reach this very node (https://a.example:8443), for redirects and fallbacks. Empty: clients are never sent here."`
	Size         int      `yaml:"size" help:"How many nodes the cluster is meant to have. What must be remembered is kept 3 times from 3 nodes on and 5 times from 5 on. 0: kept once."`
	Placement    string   `yaml:"placement" enum:"redirect,extend" help:"When a client reaches a node where its room is not: redirect sends it on, extend serves it and joins the nodes by a trunk."`
	Listen       Listen   `yaml:"listen" help:"Address and port (TCP) for the messages of other nodes. Empty: none."`
	Routes       []string `yaml:"routes" help:"The listen addresses of the other nodes, host:port; this node's own may be among them."`
	Key          string   `yaml:"key" secret:"true" help:"The cluster key, the same on all nodes; \"parley cluster-key\" makes one. Needed unless all nodes are on loopback. Better: key_file, or PARLEY_CLUSTER_KEY."`
	KeyFile      string   `yaml:"key_file" help:"File that holds the cluster key; white space around it is cut."`
	TrunkListen  Listen   `yaml:"trunk_listen" help:"Address and port (UDP) for media between nodes. Opened in a cluster only."`
	TrunkAddress string   `yaml:"trunk_address" help:"Address and port under which other nodes reach trunk_listen, if it is not that (NAT, containers)."`
	NATSURL      string   `yaml:"nats_url" help:"NATS servers outside, instead of listen and routes: tls://a:4222,tls://b:4222."`
	NATSNKey     string   `yaml:"nats_nkey" secret:"true" help:"The nkey seed (SU...) that this node presents to them. Needed unless they are on loopback. Better: nats_nkey_file."`
	NATSNKeyFile string   `yaml:"nats_nkey_file" help:"File that holds the nkey seed."`
	NATSCAFile   string   `yaml:"nats_ca_file" help:"PEM file of the authority that signed their certificates. Empty: the system's."`
}

// On reports whether this node is meant to have neighbours.
func (c Cluster) On() bool { return c.Listen.On || c.NATSURL != "" }

// Log says how much is logged and how.
type Log struct {
	Level  string `yaml:"level" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
	Format string `yaml:"format" enum:"console,json" help:"console for people, json for machines."`
}

// DefaultExcludedInterfaces are the bridges of container and virtual machine hosts. Their addresses look like any
// private address, but no client can reach them, and each costs every call a useless round of connectivity checks.
var defaultExcludedInterfaces = []string{
	"docker*", "br-*", "veth*", "virbr*", "podman*", "cni*", "flannel*", "cali*", "lxc*", "lxdbr*",
}

// Default returns the configuration of a node that was told nothing.
func Default() *Config {
	return &Config{
		HTTP:  HTTP{Listen: Listen{On: true, Addr: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Port: 8080}},
		HTTPS: HTTPS{Enabled: true, Listen: Listen{On: true, Port: 8443}},
		Admin: Admin{Listen: Listen{On: true, Addr: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Port: 9090}},
		Media: Media{
			UDPPorts:   PortRange{First: 10000, Last: 10010},
			TCPPort:    10000,
			Interfaces: Interfaces{Exclude: append([]string(nil), defaultExcludedInterfaces...)},
		},
		ICE: ICE{Mode: ModeLAN, AllowPrivateCandidates: "auto"},
		TURN: TURN{
			Enabled: true, Listen: Listen{On: true, Port: 3478}, TLSListen: Listen{On: true, Port: 5349},
			Realm: "parley", CredentialTTL: 300 * time.Second,
		},
		Rooms:        Rooms{MaxParticipants: 100, MaxTotal: 1000, EmptyTimeout: 30 * time.Second},
		Audio:        Audio{Bitrate: 40000, Complexity: 9, FEC: true, DTX: true, Speakers: 5, PacketMs: 20},
		Cluster:      Cluster{Placement: PlacementExtend, TrunkListen: Listen{On: true, Port: 10100}},
		Log:          Log{Level: "info", Format: "console"},
		DrainTimeout: 10 * time.Second,
	}
}

// Open reports whether anybody may join: no key is configured.
func (c *Config) Open() bool { return c.Auth.Key == "" }
