package config

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

var nodeName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`)

// cluster checks what can be said of the keys one by one and together, and that nothing of the cluster is open to
// strangers: beyond loopback it takes the cluster key, and TLS and an nkey with servers outside. That a key is one is for
// the package cluster to say.
func (v *validation) cluster() {
	c := v.l.Cluster
	if c.Node != "" && !nodeName.MatchString(c.Node) {
		v.fail("cluster.node", "%q is no name for a node: lower case letters, digits and inner - . _, at most 63", c.Node)
	}
	if len(c.Region) > 64 || strings.ContainsFunc(c.Region, notVisible) {
		v.fail("cluster.region", "must be at most 64 printable characters without spaces")
	}
	if c.URL != "" {
		u, err := url.Parse(c.URL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || c.URL != u.Scheme+"://"+u.Host {
			v.fail("cluster.url", "%q is not like https://a.example:8443", c.URL)
		}
	}
	v.within("cluster.size", c.Size, 0, 1000)
	for _, both := range []struct{ key, file, keyValue, fileValue string }{
		{"cluster.key", "cluster.key_file", c.Key, c.KeyFile},
		{"cluster.nats_nkey", "cluster.nats_nkey_file", c.NATSNKey, c.NATSNKeyFile},
	} {
		if both.keyValue != "" && both.fileValue != "" && !v.l.fromFile[both.file] {
			v.fail(both.key, "is given together with %s; keep one", both.file)
		}
	}
	if c.TrunkAddress != "" {
		if _, err := netip.ParseAddrPort(c.TrunkAddress); err != nil {
			v.fail("cluster.trunk_address", "%q is not an address and port", c.TrunkAddress)
		}
	}
	if c.NATSURL != "" && (c.Listen.On || len(c.Routes) > 0) {
		v.fail("cluster.nats_url", "is given together with cluster.listen or cluster.routes: either the server in this process, or one outside")
		return
	}
	v.clusterRoutes(c)
	v.clusterOutside(c)
}

func (v *validation) clusterRoutes(c Cluster) {
	if len(c.Routes) > 0 && !c.Listen.On {
		v.fail("cluster.listen", "is missing: other nodes answer to it")
	}
	local := c.Listen.Addr.IsLoopback()
	for _, r := range c.Routes {
		host, port, err := net.SplitHostPort(r)
		n, portErr := strconv.ParseUint(port, 10, 16)
		if err != nil || portErr != nil || n == 0 || !validHost(strings.Trim(host, "[]")) {
			v.fail("cluster.routes", "%q is not host:port", r)
		}
		local = local && loopbackHost(host)
	}
	if c.Listen.On && !local && c.Key == "" {
		v.fail("cluster.key", "is missing: anybody who reaches cluster.listen could take part; \"parley cluster-key\" makes one")
	}
}

func (v *validation) clusterOutside(c Cluster) {
	if c.NATSURL == "" {
		for key, value := range map[string]string{"cluster.nats_nkey": c.NATSNKey, "cluster.nats_ca_file": c.NATSCAFile} {
			if value != "" {
				v.fail(key, "is used with cluster.nats_url only")
			}
		}
		return
	}
	local := true
	for s := range strings.SplitSeq(c.NATSURL, ",") {
		u, err := url.Parse(strings.TrimSpace(s))
		if err != nil || u.Hostname() == "" || u.Scheme != "tls" && u.Scheme != "nats" || u.User != nil {
			v.fail("cluster.nats_url", "%q is not like tls://nats.example:4222", s)
			return
		}
		if loopbackHost(u.Hostname()) {
			continue
		}
		if local = false; u.Scheme != "tls" {
			v.fail("cluster.nats_url", "%q is not on loopback: use tls://", s)
		}
	}
	if !local && c.NATSNKey == "" {
		v.fail("cluster.nats_nkey", "is missing: a NATS that is not on loopback must know who connects")
	}
	if !local && c.Key == "" {
		v.fail("cluster.key", "is missing: it secures the media between nodes; \"parley cluster-key\" makes one")
	}
}

func loopbackHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
