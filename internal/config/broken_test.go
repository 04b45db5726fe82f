package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every file here must stop the start with an error that names file, line and key (reliability check O-04).
var broken = []struct {
	name, file string
	want       string // after "FILE:"
}{
	// Syntax.
	{"tab", "http:\n\tlisten: \":1\"\n", "2: "},
	{"unclosed list", "origins: [a, b\n", "1: "},
	{"unclosed quote", "http:\n  listen: \":80\n", "2: "},
	{"bad indentation", "http:\n    listen: \":80\"\n  x: 1\n", "2: "},
	{"two documents", "insecure_open: false\n---\ninsecure_open: true\n", "2: a second YAML document"},
	{"scalar file", "hello\n", "1: top level: must hold keys"},
	{"list file", "- http\n", "1: top level: must hold keys"},
	{"anchor", "http: &a\n  listen: \":80\"\n", "1: http: anchors"},
	{"alias", "origins: &o []\nmedia:\n  nat_1to1: *o\n", "1: origins: anchors"},

	// Keys.
	{"unknown section", "htp:\n  listen: \":80\"\n", "1: htp: unknown key"},
	{"unknown key", "http:\n  lisen: \":80\"\n", "2: http.lisen: unknown key; did you mean http.listen?"},
	{"unknown deep key", "media:\n  interfaces:\n    exlude: [a]\n", "3: media.interfaces.exlude: unknown key; did you mean media.interfaces.exclude?"},
	{"key in the wrong section", "listen: \":80\"\n", "1: listen: unknown key"},
	{"key twice", "http:\n  listen: \":80\"\n  listen: \":81\"\n", "3: http.listen: is given twice, first in line 2"},
	{"section twice", "log:\n  level: info\nlog:\n  format: json\n", "3: log: is given twice, first in line 1"},
	{"section as scalar", "http: \":80\"\n", "1: http: must hold keys"},
	{"section as list", "http: [1]\n", "1: http: must hold keys"},
	{"empty section", "http:\n", "1: http: is empty"},
	{"empty value", "http:\n  listen:\n", "2: http.listen: has no value"},
	{"capital letters", "http:\n  Listen: \":80\"\n", "2: http.Listen: unknown key; did you mean http.listen?"},

	// Kinds.
	{"bool from yes", "https:\n  enabled: yes\n", `2: https.enabled: "yes" is neither true nor false`},
	{"bool from number", "insecure_open: 1\n", `1: insecure_open: "1" is neither true nor false`},
	{"number from text", "rooms:\n  max_total: many\n", `2: rooms.max_total: "many" is not a whole number`},
	{"number from fraction", "audio:\n  bitrate: 32.5\n", `2: audio.bitrate: "32.5" is not a whole number`},
	{"list for a value", "log:\n  level: [info]\n", "2: log.level: must be a single value"},
	{"mapping for a value", "log:\n  level: {a: b}\n", "2: log.level: must be a single value"},
	{"value for a list", "origins: https://a.example\n", "1: origins: must be a list"},
	{"mapping in a list", "origins: [{a: b}]\n", "1: origins: must be a single value"},
	{"null in a list", "media:\n  nat_1to1: [null]\n", "2: media.nat_1to1: must be a single value"},
	{"duration without unit", "turn:\n  credential_ttl: 300\n", `2: turn.credential_ttl: "300" is not a duration with a unit`},
	{"duration in words", "drain_timeout: ten seconds\n", `1: drain_timeout: "ten seconds" is not a duration`},

	// Addresses and ports.
	{"listen without port", "http:\n  listen: 127.0.0.1\n", `2: http.listen: "127.0.0.1" has no port`},
	{"port 65536", "https:\n  listen: \":65536\"\n", "2: https.listen: port 65536 is above 65535"},
	{"port in words", "admin:\n  listen: \":http\"\n", `2: admin.listen: "http" is not a port number`},
	{"negative port", "admin:\n  listen: \":-1\"\n", `2: admin.listen: "-1" is not a port number`},
	{"host name", "https:\n  listen: \"example.com:443\"\n", `2: https.listen: "example.com" is not an IP address`},
	{"naked IPv6", "https:\n  listen: \"::1:443\"\n", "2: https.listen: an IPv6 address stands in brackets"},
	{"IPv6 zone", "https:\n  listen: \"[fe80::1%eth0]:443\"\n", "2: https.listen: "},
	{"multicast", "https:\n  listen: \"224.0.0.1:443\"\n", `2: https.listen: "224.0.0.1" is a multicast address`},
	{"public listener on an open server", "https:\n  listen: \"203.0.113.7:443\"\n", "2: https.listen: 203.0.113.7 is a public address"},
	{"public TURN on an open server", "turn:\n  listen: \"[2001:db8::1]:3478\"\n", "2: turn.listen: 2001:db8::1 is a public address"},
	{"public admin", "admin:\n  listen: \"203.0.113.7:9090\"\ninsecure_open: true\n", "2: admin.listen: metrics"},
	{"admin on all addresses", "admin:\n  listen: \":9090\"\n", "2: admin.listen: metrics"},
	{"short admin token", "admin:\n  token: abc\n", "2: admin.token: must be 16 or more"},
	{"nothing to serve", "http:\n  listen: \"\"\nhttps:\n  enabled: false\n", "2: http.listen: neither HTTP nor HTTPS"},
	{"https without address", "https:\n  listen: \"\"\n", "2: https.listen: is empty"},
	{"same port twice", "http:\n  listen: \"127.0.0.1:8443\"\n", "https.listen: 8443/tcp overlaps 8443/tcp of http.listen"},
	{"admin on the HTTP port", "admin:\n  listen: \"127.0.0.1:8080\"\n", "2: admin.listen: 8080/tcp overlaps 8080/tcp of http.listen"},
	{"TURN on the media TCP port", "media:\n  tcp_port: 3478\n", "2: media.tcp_port: 3478/tcp overlaps 3478/tcp of turn.listen"},
	{"TURN inside the media range", "media:\n  udp_ports: 3400-3500\n", "2: media.udp_ports: 3400-3500/udp overlaps 3478/udp of turn.listen"},
	{"overlapping ranges", "turn:\n  relay_ports: 10010-10100\n", "media.udp_ports: 10000-10010/udp overlaps 10010-10100/udp of turn.relay_ports"},
	{"range backwards", "media:\n  udp_ports: 10010-10000\n", "2: media.udp_ports: first port 10010 is above last port 10000"},
	{"range beyond 65535", "media:\n  udp_ports: 65530-65540\n", "2: media.udp_ports: port 65540 is above 65535"},
	{"range from 0", "media:\n  udp_ports: 0-10\n", "2: media.udp_ports: port 0 cannot be in a range"},
	{"range of one side", "media:\n  udp_ports: 10000-\n", `2: media.udp_ports: "" is not a port number`},
	{"range too long", "media:\n  udp_ports: 10000-20000\n", "2: media.udp_ports: 10001 ports"},
	{"no media port", "media:\n  udp_ports: \"\"\n", "2: media.udp_ports: is empty"},
	{"media TCP port", "media:\n  tcp_port: 70000\n", "2: media.tcp_port: 70000 is not between 0 and 65535"},
	{"bad CIDR", "media:\n  cidrs:\n    include: [10.0.0.0/33]\n", `3: media.cidrs.include: "10.0.0.0/33" is not a prefix`},
	{"address for a CIDR", "media:\n  cidrs:\n    exclude: [10.0.0.1]\n", `3: media.cidrs.exclude: "10.0.0.1" is not a prefix`},
	{"bad glob", "media:\n  interfaces:\n    include: [\"eth[0\"]\n", `3: media.interfaces.include: "eth[0" is not a glob`},
	{"NAT address", "media:\n  nat_1to1: [203.0.113]\n", `2: media.nat_1to1: "203.0.113" is not an address`},
	{"NAT to loopback", "media:\n  nat_1to1: [127.0.0.1]\n", "2: media.nat_1to1: 127.0.0.1 cannot be advertised"},
	{"two NAT addresses", "media:\n  nat_1to1: [203.0.113.1, 203.0.113.2]\n", "2: media.nat_1to1: more than one address"},

	// Access.
	{"key without secret", "auth:\n  key: a\n", "auth.secret: is missing"},
	{"secret without key", "auth:\n  secret: 0123456789abcdef0123456789abcdef\n", "auth.key: is missing"},
	{"short secret", "auth:\n  key: a\n  secret: short\n", "3: auth.secret: has 5 bytes"},
	{"two secrets", "auth:\n  key: a\n  secret: 0123456789abcdef0123456789abcdef\n  secret_file: /dev/null\n", "3: auth.secret: is given together"},
	{"secret file missing", "auth:\n  key: a\n  secret_file: /nonexistent\n", "3: auth.secret_file: open /nonexistent"},
	{"secret file empty", "auth:\n  key: a\n  secret_file: /dev/null\n", "3: auth.secret_file: /dev/null is empty"},
	{"key with a space", "auth:\n  key: \"a b\"\n  secret: 0123456789abcdef0123456789abcdef\n", "2: auth.key: must be"},
	{"origin with a path", "origins: [\"https://a.example/\"]\n", `1: origins: "https://a.example/" is not an origin`},
	{"origin with a wildcard", "origins: [\"https://*.example\"]\n", "1: origins: "},
	{"origin without scheme", "origins: [a.example]\n", "1: origins: "},
	{"certificate without key", "https:\n  cert_file: a.pem\n", "2: https.cert_file: is given without https.key_file"},
	{"key without certificate", "https:\n  key_file: a.pem\n", "2: https.key_file: is given without https.cert_file"},

	// ICE and TURN.
	{"ICE mode", "ice:\n  mode: wan\n", `2: ice.mode: "wan" is none of lan, public, relay, custom`},
	{"custom without servers", "ice:\n  mode: custom\n", "ice.servers: is empty"},
	{"servers without custom", "ice:\n  servers: [{urls: [\"stun:a.example\"]}]\n", "2: ice.servers: is used in mode custom only"},
	{"server scheme", "ice:\n  mode: custom\n  servers: [{urls: [\"http://a\"]}]\n", "3: ice.servers: "},
	{"server port", "ice:\n  mode: custom\n  servers: [{urls: [\"stun:a.example:99999\"]}]\n", "3: ice.servers: "},
	{"server without credential", "ice:\n  mode: custom\n  servers: [{urls: [\"turn:a.example\"]}]\n", "3: ice.servers: \"turn:a.example\" needs username"},
	{"server with unknown key", "ice:\n  mode: custom\n  servers:\n    - urls: [\"stun:a.example\"]\n      user: a\n", "4: ice.servers: line 5: unknown key \"user\""},
	{"room settings as mapping", "rooms:\n  settings: {match: a}\n", "2: rooms.settings: must be a list"},
	{"room settings as text", "rooms:\n  settings: [music]\n", "2: rooms.settings: line 2: must be {match"},
	{"room setting unknown", "rooms:\n  settings: [{match: a, stero: true}]\n", "2: rooms.settings: line 2: unknown key \"stero\""},
	{"room setting twice", "rooms:\n  settings: [{match: a, match: b}]\n", "2: rooms.settings: line 2: match is given twice"},
	{"room setting of a wrong kind", "rooms:\n  settings: [{match: a, stereo: 3}]\n", "2: rooms.settings: line 2: stereo has the wrong form"},
	{"room setting without value", "rooms:\n  settings: [{match: a, stereo: }]\n", "2: rooms.settings: line 2: stereo has the wrong form"},
	{"room settings without match", "rooms:\n  settings: [{mode: music}]\n", "2: rooms.settings: entry 1 (\"\"): match is not"},
	{"room pattern", "rooms:\n  settings: [{match: \"a[\"}]\n", "2: rooms.settings: entry 1 (\"a[\"): match is not"},
	{"room mode", "rooms:\n  settings: [{match: a, mode: radio}]\n", "2: rooms.settings: entry 1 (\"a\"): mode \"radio\" is neither voice nor music"},
	{"levelled music", "rooms:\n  settings: [{match: a, mode: music, leveling: true}]\n", "2: rooms.settings: entry 1 (\"a\"): leveling changes levels"},
	{"room packets", "rooms:\n  settings: [{match: a, packet_ms: 15}]\n", "2: rooms.settings: entry 1 (\"a\"): packet_ms 15 is neither 10 nor 20"},
	{"room speakers", "rooms:\n  settings: [{match: a, speakers: -1}]\n", "2: rooms.settings: entry 1 (\"a\"): speakers -1 is not between 0 and 1000"},
	{"narrow music", "rooms:\n  settings: [{match: a, mode: music, bitrate: 32000}]\n", "2: rooms.settings: entry 1 (\"a\"): bitrate 32000 is not between 48000 and 510000"},
	{"room twice", "rooms:\n  settings: [{match: a}, {match: a}]\n", "2: rooms.settings: entry 2 (\"a\"): is never used"},
	{"room after all", "rooms:\n  settings: [{match: \"*\"}, {match: a}]\n", "2: rooms.settings: entry 2 (\"a\"): is never used"},
	{"packet length", "audio:\n  packet_ms: 60\n", "2: audio.packet_ms: 60 is neither 10 nor 20"},
	{"server as text", "ice:\n  mode: custom\n  servers: [\"stun:a.example\"]\n", "3: ice.servers: line 3: must be"},
	{"public host with port", "ice:\n  public_host: a.example:3478\n", "2: ice.public_host: "},
	{"public host with scheme", "ice:\n  public_host: https://a.example\n", "2: ice.public_host: "},
	{"public host almost an address", "ice:\n  public_host: 1.2.3\n", "2: ice.public_host: "},
	{"private candidates", "ice:\n  allow_private_candidates: maybe\n", `2: ice.allow_private_candidates: "maybe" is none of`},
	{"public mode without TURN", "ice:\n  mode: public\nturn:\n  enabled: false\n", "2: ice.mode: public needs the TURN server"},
	{"short TURN secret", "turn:\n  secret: abc\n", "2: turn.secret: has 3 bytes"},
	{"empty realm", "turn:\n  realm: \"\"\n", "2: turn.realm: "},
	{"TTL too short", "turn:\n  credential_ttl: 1s\n", "2: turn.credential_ttl: 1s is not between 30s and 24h"},

	// Cluster: nothing of it is open to strangers.
	{"cluster without a key", "cluster:\n  listen: \":10300\"\n", "cluster.key: is missing"},
	{"cluster to others without a key", "cluster:\n  listen: \"127.0.0.1:10300\"\n  routes: [\"b.example:10300\"]\n", "cluster.key: is missing"},
	{"routes without listen", "cluster:\n  routes: [\"127.0.0.1:10300\"]\n", "cluster.listen: is missing"},
	{"route without port", "cluster:\n  listen: \"127.0.0.1:10300\"\n  routes: [localhost]\n", `3: cluster.routes: "localhost" is not host:port`},
	{"no_auth_user", "cluster:\n  no_auth_user: parley\n", "2: cluster.no_auth_user: unknown key"},
	{"plain NATS", "cluster:\n  nats_url: \"nats://nats.example:4222\"\n", `2: cluster.nats_url: "nats://nats.example:4222" is not on loopback`},
	{"NATS without nkey", "cluster:\n  nats_url: \"tls://nats.example:4222\"\n", "cluster.nats_nkey: is missing"},
	{"NATS with password", "cluster:\n  nats_url: \"tls://u:p@nats.example:4222\"\n", "2: cluster.nats_url: "},
	{"NATS inside and outside", "cluster:\n  listen: \"127.0.0.1:10300\"\n  nats_url: \"nats://127.0.0.1:4222\"\n", "3: cluster.nats_url: is given together"},
	{"nkey without NATS", "cluster:\n  nats_nkey: a\n", "2: cluster.nats_nkey: is used with"},
	{"node name", "cluster:\n  node: \"A b\"\n", "2: cluster.node: "},
	{"node address", "cluster:\n  url: a.example\n", "2: cluster.url: "},
	{"trunk address", "cluster:\n  trunk_address: a.example\n", "2: cluster.trunk_address: "},
	{"placement", "cluster:\n  placement: random\n", `2: cluster.placement: "random" is none of redirect, extend`},
	{"cluster key twice", "cluster:\n  key: a\n  key_file: /dev/null\n", "2: cluster.key: is given together"},
	{"cluster key file", "cluster:\n  key_file: /nonexistent\n", "2: cluster.key_file: open /nonexistent"},
	{"trunk on a media port", "cluster:\n  listen: \"127.0.0.1:10300\"\n  trunk_listen: \":10000\"\n", "overlaps 10000/udp of cluster.trunk_listen"},

	// Limits.
	{"no room for anybody", "rooms:\n  max_participants: 0\n", "2: rooms.max_participants: 0 is not between"},
	{"room above the node", "rooms:\n  max_participants: 50\n  max_total: 10\n", "2: rooms.max_participants: 50 is more than rooms.max_total"},
	{"negative timeout", "rooms:\n  empty_timeout: -1s\n", "2: rooms.empty_timeout: "},
	{"bit rate too low", "audio:\n  bitrate: 500\n", "2: audio.bitrate: 500 is not between 6000 and 510000"},
	{"complexity 11", "audio:\n  complexity: 11\n", "2: audio.complexity: 11 is not between 0 and 10"},
	{"log level", "log:\n  level: loud\n", `2: log.level: "loud" is none of debug, info, warn, error`},
	{"log format", "log:\n  format: xml\n", `2: log.format: "xml" is none of console, json`},
	{"endless drain", "drain_timeout: 24h\n", "1: drain_timeout: 24h is not between 0s and 10m"},
}

func TestBrokenFiles(t *testing.T) {
	if len(broken) < 60 {
		t.Fatalf("%d broken files, 60 are promised", len(broken))
	}
	for _, tc := range broken {
		t.Run(tc.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "parley.yaml")
			if err := os.WriteFile(name, []byte(tc.file), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(Options{File: name})
			if err == nil {
				t.Fatalf("accepted:\n%s", tc.file)
			}
			want := tc.want
			if want[0] >= '0' && want[0] <= '9' {
				want = name + ":" + want
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

func FuzzFile(f *testing.F) {
	for _, tc := range broken {
		f.Add(tc.file)
	}
	f.Fuzz(func(t *testing.T, file string) {
		l := &Loaded{Config: *Default(), Origin: map[string]string{}, fromFile: map[string]bool{}}
		if l.readFile("fuzz.yaml", strings.NewReader(file)) == nil {
			_ = l.validate() // must not panic
		}
	})
}
