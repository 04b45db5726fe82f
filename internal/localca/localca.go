package localca

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	caFile     = "ca.pem"     // key and certificate of the authority
	serverFile = "server.pem" // key and certificate of the server
)

// ErrDamaged is wrapped by every error about a file that is there but cannot be used.
var ErrDamaged = errors.New("damaged certificate file")

// Config says where the authority lives and what the server is called.
type Config struct {
	// Dir holds the files; it is made with mode 0700 if it is missing and belongs to this package.
	Dir string
	// Names are further names of the server; an address among them counts as one. localhost, the host's name and the host's name with .local are always there;
	// names outside the authority's constraints are left out.
	Names []string
	// Addresses returns the server's addresses now. Loopback is always there, public addresses are left out.
	// Nil: all addresses of the host's interfaces.
	Addresses func() ([]netip.Addr, error)
	Log       *zap.Logger // nil: none

	now      func() time.Time // for tests
	hostname func() (string, error)
}

// CA is the authority and the server certificate it has issued last. Safe for concurrent use.
type CA struct {
	cfg       Config
	authority *keyPair

	mu     sync.Mutex // held while looking and issuing
	tried  time.Time  // when GetCertificate last looked
	server atomic.Pointer[tls.Certificate]
}

// Open loads the authority from cfg.Dir, or makes one when the directory has none, and makes sure that there is a good server
// certificate. Errors name the file they are about.
func Open(cfg Config) (*CA, error) {
	if cfg.Dir == "" {
		return nil, errors.New("local CA: no directory given")
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.now == nil {
		cfg.now = time.Now
	}
	if cfg.hostname == nil {
		cfg.hostname = os.Hostname
	}
	if cfg.Addresses == nil {
		cfg.Addresses = interfaceAddresses
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("local CA: %w", err)
	}
	if err := tighten(cfg.Dir, 0o700, cfg.Log); err != nil {
		return nil, err
	}
	c := &CA{cfg: cfg}
	var err error
	if c.authority, err = c.loadOrMake(); err != nil {
		return nil, err
	}
	if err := c.Refresh(); err != nil {
		return nil, err
	}
	return c, nil
}

// loadOrMake returns the authority of the directory. It makes one only where there never was any.
func (c *CA) loadOrMake() (*keyPair, error) {
	path := filepath.Join(c.cfg.Dir, caFile)
	now := c.cfg.now()
	pair, err := load(path, c.cfg.Log)
	if errors.Is(err, fs.ErrNotExist) {
		server := filepath.Join(c.cfg.Dir, serverFile)
		if _, statErr := os.Stat(server); statErr == nil {
			if pair, err = load(path, c.cfg.Log); err == nil { // another process has made both just now
				return pair, nil
			}
			return nil, fmt.Errorf("local CA: %s is missing, but %s was issued by it: restore it, or remove %[2]s to make a new CA "+
				"that everybody has to install again", path, server)
		}
		host, _ := c.cfg.hostname() //nolint:errcheck // no name is no constraint on one
		made, err := newAuthority(host, now)
		if err != nil {
			return nil, fmt.Errorf("local CA: %w", err)
		}
		if err := storeNew(path, made.encode()); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("local CA: %w", err)
		}
		c.cfg.Log.Info("made a certificate authority", zap.String("file", path))
		pair, err = load(path, c.cfg.Log) // what is in the file counts: another process may have been first
		if err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	switch cert := pair.cert; {
	case !cert.IsCA:
		return nil, fmt.Errorf("local CA: %w: %s holds a certificate that is not an authority's", ErrDamaged, path)
	case now.After(cert.NotAfter):
		return nil, fmt.Errorf("local CA: the authority in %s has expired on %s: remove it and %s to make a new one that everybody "+
			"has to install again", path, cert.NotAfter.Format(time.DateOnly), serverFile)
	case now.Before(cert.NotBefore):
		return nil, fmt.Errorf("local CA: the authority in %s begins on %s, but this machine's clock says %s: set the clock",
			path, cert.NotBefore.Format(time.DateOnly), now.Format(time.DateOnly))
	}
	return pair, nil
}

// Refresh issues a new server certificate if the one in use does not cover the server's addresses and names or ends within
// renewBefore; else it does nothing. Call it when addresses may have changed, or every minute or so.
func (c *CA) Refresh() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	addresses, err := c.cfg.Addresses()
	if err != nil {
		return fmt.Errorf("local CA: addresses of this host: %w", err)
	}
	return c.refresh(addresses)
}

func (c *CA) refresh(addresses []netip.Addr) error {
	want := c.subject(addresses)
	now := c.cfg.now()
	if have := c.server.Load(); have != nil && want.coveredBy(have.Leaf, c.authority.cert, now) {
		return nil
	}
	path := filepath.Join(c.cfg.Dir, serverFile)
	pair, err := load(path, c.cfg.Log)
	switch {
	case err == nil && want.coveredBy(pair.cert, c.authority.cert, now):
		c.server.Store(pair.tls(c.authority))
		return nil
	case errors.Is(err, ErrDamaged): // nobody trusts this file itself, so a new one does no harm
		c.cfg.Log.Warn("server certificate is damaged, issuing a new one", zap.String("file", path), zap.Error(err))
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	pair, err = c.authority.issue(want, now)
	if err != nil {
		return fmt.Errorf("local CA: issue a server certificate: %w", err)
	}
	if err := store(path, pair.encode()); err != nil {
		return fmt.Errorf("local CA: %w", err)
	}
	c.server.Store(pair.tls(c.authority))
	c.cfg.Log.Info("issued a server certificate", zap.Strings("names", want.names), zap.Stringers("addresses", want.addresses),
		zap.Time("until", pair.cert.NotAfter))
	return nil
}

// subject collects what the certificate must cover, within the constraints.
func (c *CA) subject(addresses []netip.Addr) subject {
	names := []string{"localhost"}
	if host, err := c.cfg.hostname(); err == nil && host != "" {
		names = append(names, host)
		if short, _, _ := strings.Cut(host, "."); short != "" {
			names = append(names, short+".local")
		}
	}
	all := append([]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, addresses...)
	for _, n := range c.cfg.Names {
		if a, err := netip.ParseAddr(n); err == nil {
			all = append(all, a)
		} else {
			names = append(names, n)
		}
	}
	return newSubject(names, all, c.authority.cert)
}

// GetCertificate is for tls.Config. When a client has come in over an address that the certificate does not cover, because
// the host got it a moment ago, a new one is issued first; that is tried once a second at most.
func (c *CA) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	have := c.server.Load()
	if hello == nil || hello.Conn == nil {
		return have, nil
	}
	tcp, ok := hello.Conn.LocalAddr().(*net.TCPAddr)
	if !ok {
		return have, nil
	}
	local := tcp.AddrPort().Addr().Unmap().WithZone("")
	if !permitted(c.authority.cert, local) || covers(have.Leaf, local) {
		return have, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.cfg.now(); now.Sub(c.tried).Abs() >= time.Second {
		c.tried = now
		addresses, err := c.cfg.Addresses()
		if err == nil {
			err = c.refresh(append(addresses, local))
		}
		if err != nil {
			c.cfg.Log.Warn("server certificate does not cover an address", zap.Stringer("address", local), zap.Error(err))
		}
	}
	return c.server.Load(), nil
}

// PEM returns the authority's certificate for download (application/x-pem-file), without its key.
func (c *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.authority.cert.Raw})
}

// DER returns the authority's certificate for download (application/x-x509-ca-cert, what phones want), without its key.
func (c *CA) DER() []byte { return bytes.Clone(c.authority.cert.Raw) }

// Fingerprint returns the SHA-256 of the authority's certificate the way systems show it: AB:CD:…, 32 bytes.
func (c *CA) Fingerprint() string {
	sum := sha256.Sum256(c.authority.cert.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// Certificate returns the server certificate in use.
func (c *CA) Certificate() *x509.Certificate { return c.server.Load().Leaf }

// interfaceAddresses lists the addresses of this host that are up.
func interfaceAddresses() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out, nil
}
