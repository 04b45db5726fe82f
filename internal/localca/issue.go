package localca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	caLife = 10 * 365 * 24 * time.Hour
	// serverLife is the longest that browsers take from any authority (CA/Browser Forum ballot SC-22: 398 days; Apple: 825 for
	// authorities that a user has installed). A long one is kind to people who click through the warning instead.
	serverLife  = 397 * 24 * time.Hour
	renewBefore = 30 * 24 * time.Hour
	// backdate is for clients whose clocks are slow.
	backdate = 24 * time.Hour
	// maxAddresses keeps the certificate of a host with thousands of addresses within one TLS record.
	maxAddresses = 64
)

// privateRanges are what the authority may sign: loopback, link-local, RFC 1918, RFC 4193, and RFC 6598, which overlay
// networks use.
var privateRanges = []string{
	"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10",
	"::1/128", "fc00::/7", "fe80::/10",
}

// privateNames are top-level names that no public authority may sign: RFC 6761, RFC 6762, RFC 8375 and ICANN's .internal; .lan is
// what most home routers call it.
var privateNames = []string{"localhost", "local", "home.arpa", "internal", "lan"}

// keyPair is a key with its certificate.
type keyPair struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// newAuthority makes a self-signed authority, constrained to private use and to the host's name.
func newAuthority(host string, now time.Time) (*keyPair, error) {
	names := slices.Clone(privateNames)
	if validName(host) {
		names = append(names, strings.ToLower(host))
	}
	var ranges []*net.IPNet
	for _, r := range privateRanges {
		_, n, err := net.ParseCIDR(r)
		if err != nil {
			return nil, err
		}
		ranges = append(ranges, n)
	}
	title := "Parley local CA"
	if host != "" {
		title += " (" + host + ")"
	}
	return sign(&x509.Certificate{
		Subject:                     pkix.Name{CommonName: truncate(title, 64)}, // RFC 5280, ub-common-name
		NotBefore:                   now.Add(-backdate),
		NotAfter:                    now.Add(caLife),
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         names,
		PermittedIPRanges:           ranges,
	}, nil)
}

func truncate(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "")
	}
	return s
}

// issue makes a server certificate with a key of its own.
func (p *keyPair) issue(s subject, now time.Time) (*keyPair, error) {
	from := now.Add(-backdate)
	if from.Before(p.cert.NotBefore) {
		from = p.cert.NotBefore
	}
	until := from.Add(serverLife)
	if until.After(p.cert.NotAfter) {
		until = p.cert.NotAfter
	}
	template := &x509.Certificate{
		// No name here: the subject alternative names are what counts, and a name here would be checked against the constraints.
		Subject:               pkix.Name{CommonName: "Parley server (local)"},
		NotBefore:             from,
		NotAfter:              until,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              s.names,
	}
	for _, a := range s.addresses {
		template.IPAddresses = append(template.IPAddresses, a.AsSlice())
	}
	return sign(template, p)
}

// sign makes a P-256 key and signs the template for it; without a parent it signs itself.
func sign(template *x509.Certificate, parent *keyPair) (*keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // positive, up to 20 bytes (RFC 5280, 4.1.2.2)
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(public)
	template.SubjectKeyId = id[:20]
	if parent == nil {
		parent = &keyPair{key: key, cert: template}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, &key.PublicKey, parent.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &keyPair{key: key, cert: cert}, nil
}

// tls returns the pair for a TLS server. The authority is sent along: clients that have not installed it can then show it.
func (p *keyPair) tls(authority *keyPair) *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{p.cert.Raw, authority.cert.Raw}, PrivateKey: p.key, Leaf: p.cert}
}

// encode puts certificate and key into one PEM file, so that they cannot come apart.
func (p *keyPair) encode() []byte {
	key, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		panic(fmt.Sprintf("localca: a P-256 key cannot be encoded: %v", err)) // it was generated here
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
}

// subject is what a server certificate is for: sorted, each entry once, all within the authority's constraints.
type subject struct {
	names     []string
	addresses []netip.Addr
}

func newSubject(names []string, addresses []netip.Addr, authority *x509.Certificate) subject {
	var s subject
	for _, n := range names {
		n = strings.ToLower(strings.TrimSuffix(n, "."))
		if validName(n) && permittedName(authority, n) && !slices.Contains(s.names, n) {
			s.names = append(s.names, n)
		}
	}
	for _, a := range addresses {
		a = a.Unmap().WithZone("")
		if permitted(authority, a) && !slices.Contains(s.addresses, a) && len(s.addresses) < maxAddresses {
			s.addresses = append(s.addresses, a)
		}
	}
	slices.Sort(s.names)
	slices.SortFunc(s.addresses, netip.Addr.Compare)
	return s
}

// coveredBy tells whether cert is the authority's, good for another renewBefore, and names everything.
func (s subject) coveredBy(cert, authority *x509.Certificate, now time.Time) bool {
	if cert.CheckSignatureFrom(authority) != nil || now.Before(cert.NotBefore) {
		return false
	}
	// Close to the authority's own end nothing longer can be had.
	if left := cert.NotAfter.Sub(now); left <= 0 || left < renewBefore && cert.NotAfter.Before(authority.NotAfter) {
		return false
	}
	for _, n := range s.names {
		if !slices.Contains(cert.DNSNames, n) {
			return false
		}
	}
	for _, a := range s.addresses {
		if !covers(cert, a) {
			return false
		}
	}
	return true
}

func covers(cert *x509.Certificate, a netip.Addr) bool {
	return slices.ContainsFunc(cert.IPAddresses, func(ip net.IP) bool { return ip.Equal(a.AsSlice()) })
}

// permitted tells whether the authority may sign an address.
func permitted(authority *x509.Certificate, a netip.Addr) bool {
	return a.IsValid() && slices.ContainsFunc(authority.PermittedIPRanges, func(n *net.IPNet) bool { return n.Contains(a.AsSlice()) })
}

// permittedName tells whether the authority may sign a name: one of the permitted ones or below it.
func permittedName(authority *x509.Certificate, name string) bool {
	return slices.ContainsFunc(authority.PermittedDNSDomains, func(d string) bool {
		return name == d || strings.HasSuffix(name, "."+d)
	})
}

// validName accepts host names of letters, digits, hyphens and dots (RFC 1123, section 2.1); a host may call itself anything.
func validName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-') {
				return false
			}
		}
	}
	return true
}
