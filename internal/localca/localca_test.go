package localca

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine is a host whose addresses, name and clock the test sets.
type machine struct {
	mu        sync.Mutex
	addresses []netip.Addr
	name      string
	time      time.Time
}

func newMachine(addresses ...string) *machine {
	m := &machine{name: "studio", time: time.Now()}
	m.set(addresses...)
	return m
}

func (m *machine) set(addresses ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.addresses = nil
	for _, a := range addresses {
		m.addresses = append(m.addresses, netip.MustParseAddr(a))
	}
}

func (m *machine) config(dir string) Config {
	return Config{
		Dir: dir,
		Addresses: func() ([]netip.Addr, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			return append([]netip.Addr(nil), m.addresses...), nil
		},
		now: func() time.Time {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.time
		},
		hostname: func() (string, error) { return m.name, nil },
	}
}

func open(t *testing.T, cfg Config) *CA {
	t.Helper()
	ca, err := Open(cfg)
	require.NoError(t, err)
	return ca
}

// pool trusts what the CA gives for download and nothing else.
func pool(t *testing.T, ca *CA) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	require.True(t, p.AppendCertsFromPEM(ca.PEM()))
	return p
}

// handshake connects over TCP to listen and verifies the server as host against the CA's download.
func handshake(t *testing.T, ca *CA, listen, host string) error {
	t.Helper()
	ln, err := tls.Listen("tcp", net.JoinHostPort(listen, "0"), &tls.Config{GetCertificate: ca.GetCertificate})
	require.NoError(t, err)
	defer ln.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "hello") //nolint:errcheck // the client may have refused us
	}()
	conn, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{RootCAs: pool(t, ca), ServerName: host})
	if err == nil {
		var b []byte
		b, err = io.ReadAll(conn)
		if err == nil && string(b) != "hello" {
			err = errors.New("read " + string(b))
		}
		conn.Close()
	}
	<-served
	return err
}

func TestHandshakeByAddressAndName(t *testing.T) {
	m := newMachine("192.168.7.20", "fd00:1::20")
	ca := open(t, m.config(t.TempDir()))
	for _, host := range []string{"127.0.0.1", "localhost", "studio", "studio.local", "192.168.7.20", "fd00:1::20", "::1"} {
		require.NoError(t, handshake(t, ca, "127.0.0.1", host), host)
	}
	for _, host := range []string{"192.168.7.21", "parley.example.org", "other.local"} {
		require.Error(t, handshake(t, ca, "127.0.0.1", host), host)
	}
}

func TestCertificatesAreWhatBrowsersAccept(t *testing.T) {
	m := newMachine("10.1.2.3")
	ca := open(t, m.config(t.TempDir()))
	root := ca.authority.cert
	require.True(t, root.IsCA)
	require.True(t, root.BasicConstraintsValid)
	require.Equal(t, x509.ECDSA, root.PublicKeyAlgorithm)
	require.Equal(t, x509.ECDSAWithSHA256, root.SignatureAlgorithm)
	require.Equal(t, "P-256", ca.authority.key.Curve.Params().Name)
	require.InDelta(t, 10*365*24, root.NotAfter.Sub(m.time).Hours(), 1)
	require.True(t, root.PermittedDNSDomainsCritical)

	leaf := ca.Certificate()
	require.False(t, leaf.IsCA)
	require.LessOrEqual(t, leaf.NotAfter.Sub(leaf.NotBefore), 397*24*time.Hour)
	require.True(t, leaf.NotBefore.Before(m.time))
	require.Equal(t, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, leaf.ExtKeyUsage)
	require.Equal(t, []string{"localhost", "studio", "studio.local"}, leaf.DNSNames)
	require.Len(t, leaf.IPAddresses, 3) // 127.0.0.1, ::1, 10.1.2.3
	require.NotEqual(t, root.SubjectKeyId, leaf.SubjectKeyId)
	require.Equal(t, root.SubjectKeyId, leaf.AuthorityKeyId)

	sum := sha256.Sum256(ca.DER())
	require.Equal(t, hex.EncodeToString(sum[:]), strings.ToLower(strings.ReplaceAll(ca.Fingerprint(), ":", "")))
	block, rest := pem.Decode(ca.PEM())
	require.Empty(t, rest)
	require.Equal(t, ca.DER(), block.Bytes)
	require.NotContains(t, string(ca.PEM()), "PRIVATE")
}

// The authority on people's phones must be of no use for the web at large, even to who has stolen its key.
func TestAuthorityCannotSignForThePublic(t *testing.T) {
	ca := open(t, newMachine().config(t.TempDir()))
	for _, s := range []subject{
		{names: []string{"www.example.com"}},
		{addresses: []netip.Addr{netip.MustParseAddr("8.8.8.8")}},
		{addresses: []netip.Addr{netip.MustParseAddr("2001:4860:4860::8888")}},
	} {
		pair, err := ca.authority.issue(s, time.Now())
		require.NoError(t, err)
		_, err = pair.cert.Verify(x509.VerifyOptions{Roots: pool(t, ca)})
		var invalid x509.CertificateInvalidError
		require.ErrorAs(t, err, &invalid)
		require.Equal(t, x509.CANotAuthorizedForThisName, invalid.Reason)
	}
}

// One name or address outside the constraints would make browsers refuse the certificate for all of them.
func TestPublicAddressesAndNamesAreLeftOut(t *testing.T) {
	m := newMachine("203.0.113.9", "192.168.1.2", "2001:db8::1", "224.0.0.1")
	cfg := m.config(t.TempDir())
	cfg.Names = []string{"www.example.com", "Call.Home.Arpa.", "bad name", "", "-x.local", "meet.lan", "172.16.9.9", "8.8.8.8"}
	ca := open(t, cfg)
	require.Equal(t, []string{"call.home.arpa", "localhost", "meet.lan", "studio", "studio.local"}, ca.Certificate().DNSNames)
	for _, ip := range ca.Certificate().IPAddresses {
		require.Contains(t, []string{"127.0.0.1", "::1", "192.168.1.2", "172.16.9.9"}, ip.String())
	}
	require.NoError(t, handshake(t, ca, "127.0.0.1", "172.16.9.9"))
	require.NoError(t, handshake(t, ca, "127.0.0.1", "192.168.1.2"))
}

func TestRestartKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	m := newMachine("192.168.1.2")
	first := open(t, m.config(dir))
	second := open(t, m.config(dir))
	require.Equal(t, first.Fingerprint(), second.Fingerprint())
	require.Equal(t, first.Certificate().Raw, second.Certificate().Raw)
}

func TestReissue(t *testing.T) {
	dir := t.TempDir()
	m := newMachine("192.168.1.2")
	ca := open(t, m.config(dir))
	fingerprint, serial := ca.Fingerprint(), ca.Certificate().SerialNumber

	require.NoError(t, ca.Refresh())
	require.Equal(t, serial, ca.Certificate().SerialNumber, "nothing has changed")

	m.set("192.168.1.2", "10.0.0.9")
	require.NoError(t, ca.Refresh())
	require.NotEqual(t, serial, ca.Certificate().SerialNumber)
	require.NoError(t, handshake(t, ca, "127.0.0.1", "10.0.0.9"))
	serial = ca.Certificate().SerialNumber

	m.time = m.time.Add(serverLife - backdate - renewBefore - time.Hour)
	require.NoError(t, ca.Refresh())
	require.Equal(t, serial, ca.Certificate().SerialNumber, "31 days are left")
	m.time = m.time.Add(2 * time.Hour)
	require.NoError(t, ca.Refresh())
	require.NotEqual(t, serial, ca.Certificate().SerialNumber, "less than 30 days are left")
	require.Equal(t, fingerprint, ca.Fingerprint())

	// Near the authority's own end the certificate is cut to it, and not made anew at every look.
	m.time = ca.authority.cert.NotAfter.Add(-10 * 24 * time.Hour)
	require.NoError(t, ca.Refresh())
	require.Equal(t, ca.authority.cert.NotAfter, ca.Certificate().NotAfter)
	serial = ca.Certificate().SerialNumber
	require.NoError(t, ca.Refresh())
	require.Equal(t, serial, ca.Certificate().SerialNumber)
}

// An address that the host got after the last Refresh is covered by the time the first client comes in over it.
func TestNewAddressOnFirstConnection(t *testing.T) {
	m := newMachine()
	ca := open(t, m.config(t.TempDir()))
	require.False(t, covers(ca.Certificate(), netip.MustParseAddr("127.0.0.9")))
	require.NoError(t, handshake(t, ca, "127.0.0.9", "127.0.0.9"))

	// Not more than once a second, whatever clients do.
	serial := ca.Certificate().SerialNumber
	require.Error(t, handshake(t, ca, "127.0.0.10", "127.0.0.10"))
	require.Equal(t, serial, ca.Certificate().SerialNumber)
	m.mu.Lock()
	m.time = m.time.Add(2 * time.Second)
	m.mu.Unlock()
	require.NoError(t, handshake(t, ca, "127.0.0.10", "127.0.0.10"))
}

func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "ca")
	m := newMachine("192.168.1.2")
	check := func() {
		t.Helper()
		info, err := os.Stat(dir)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 2, "no temporary file is left")
		for _, e := range entries {
			info, err := e.Info()
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), e.Name())
		}
	}
	open(t, m.config(dir))
	check()
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Chmod(filepath.Join(dir, caFile), 0o644))
	require.NoError(t, os.Chmod(filepath.Join(dir, serverFile), 0o644))
	open(t, m.config(dir))
	check()
}

func TestDamagedAuthorityIsAnErrorAndStaysAsItIs(t *testing.T) {
	m := newMachine("192.168.1.2")
	good := t.TempDir()
	other := t.TempDir()
	open(t, m.config(good))
	open(t, m.config(other))
	whole, err := os.ReadFile(filepath.Join(good, caFile))
	require.NoError(t, err)
	foreign, err := os.ReadFile(filepath.Join(other, caFile))
	require.NoError(t, err)
	server, err := os.ReadFile(filepath.Join(good, serverFile))
	require.NoError(t, err)
	key := bytes.Index(whole, []byte("-----BEGIN PRIVATE KEY"))
	require.Positive(t, key)

	cases := map[string][]byte{
		"empty":                 {},
		"garbage":               []byte("not a certificate"),
		"half the certificate":  whole[:key/2],
		"no key":                whole[:key],
		"half the key":          whole[:key+60],
		"no certificate":        whole[key:],
		"another's key":         append(bytes.Clone(whole[:key]), foreign[bytes.Index(foreign, []byte("-----BEGIN PRIVATE KEY")):]...),
		"two certificates":      append(bytes.Clone(whole), whole[:key]...),
		"a server's":            server,
		"a flipped bit":         append(append(bytes.Clone(whole[:200]), whole[200]^2), whole[201:]...),
		"huge":                  bytes.Repeat([]byte("A"), maxFile+1),
		"zeros after the crash": make([]byte, len(whole)),
	}
	for name, content := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, caFile)
			require.NoError(t, os.WriteFile(path, content, 0o600))
			_, err := Open(m.config(dir))
			require.ErrorIs(t, err, ErrDamaged)
			require.ErrorContains(t, err, path)
			require.NotContains(t, err.Error(), "PRIVATE KEY")
			now, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, content, now, "the file must stay for whoever repairs it")
		})
	}
}

func TestMissingAuthorityBesideAServerCertificate(t *testing.T) {
	dir := t.TempDir()
	m := newMachine("192.168.1.2")
	open(t, m.config(dir))
	require.NoError(t, os.Remove(filepath.Join(dir, caFile)))
	_, err := Open(m.config(dir))
	require.ErrorContains(t, err, filepath.Join(dir, caFile))
	require.ErrorContains(t, err, "missing")
	require.NoFileExists(t, filepath.Join(dir, caFile))
}

func TestAuthorityOutOfItsTime(t *testing.T) {
	dir := t.TempDir()
	m := newMachine("192.168.1.2")
	open(t, m.config(dir))
	start := m.time
	m.time = start.Add(11 * 365 * 24 * time.Hour)
	_, err := Open(m.config(dir))
	require.ErrorContains(t, err, "expired")
	require.ErrorContains(t, err, caFile)
	m.time = start.Add(-365 * 24 * time.Hour)
	_, err = Open(m.config(dir))
	require.ErrorContains(t, err, "clock")
}

// The server certificate is nobody's root of trust, so a damaged one is replaced, with a warning that names the file.
func TestDamagedServerCertificateIsReplaced(t *testing.T) {
	dir := t.TempDir()
	m := newMachine("192.168.1.2")
	before := open(t, m.config(dir))
	path := filepath.Join(dir, serverFile)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data[:len(data)/2], 0o600))
	cfg := m.config(dir)
	core, logs := observer.New(zap.WarnLevel)
	cfg.Log = zap.New(core)
	after := open(t, cfg)
	require.Equal(t, before.Fingerprint(), after.Fingerprint())
	require.NoError(t, handshake(t, after, "127.0.0.1", "192.168.1.2"))
	require.Equal(t, 1, logs.FilterField(zap.String("file", path)).Len())
}

// A server certificate of another authority (a restored backup) does not fit and is replaced too.
func TestServerCertificateOfAnotherAuthority(t *testing.T) {
	m := newMachine("192.168.1.2")
	a, b := t.TempDir(), t.TempDir()
	open(t, m.config(a))
	open(t, m.config(b))
	data, err := os.ReadFile(filepath.Join(b, serverFile))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(a, serverFile), data, 0o600))
	require.NoError(t, handshake(t, open(t, m.config(a)), "127.0.0.1", "192.168.1.2"))
}

func TestTwoFirstStartsAtOnce(t *testing.T) {
	dir := t.TempDir()
	m := newMachine("192.168.1.2")
	prints := make([]string, 8)
	var wg sync.WaitGroup
	for i := range prints {
		wg.Go(func() {
			if ca, err := Open(m.config(dir)); err == nil {
				prints[i] = ca.Fingerprint()
			} else {
				prints[i] = err.Error()
			}
		})
	}
	wg.Wait()
	for _, p := range prints {
		require.Equal(t, prints[0], p)
	}
	require.Len(t, prints[0], 32*3-1)
}

func TestAddressesCannotBeRead(t *testing.T) {
	cfg := newMachine().config(t.TempDir())
	broken := errors.New("no netlink")
	cfg.Addresses = func() ([]netip.Addr, error) { return nil, broken }
	_, err := Open(cfg)
	require.ErrorIs(t, err, broken)
}

func TestUnwritableDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(newMachine().config(filepath.Join(file, "ca")))
	require.ErrorContains(t, err, file)
	_, err = Open(Config{})
	require.Error(t, err)
}

// A host may be called anything; the certificate must come out all the same.
func TestOddHostNames(t *testing.T) {
	for _, name := range []string{"", "Ünïcode", "a_b", strings.Repeat("x", 300), "box.example.com", "UPPER", "."} {
		m := newMachine("192.168.1.2")
		m.name = name
		ca := open(t, m.config(t.TempDir()))
		require.NoError(t, handshake(t, ca, "127.0.0.1", "localhost"), name)
	}
}

func TestSystemAddresses(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	require.NoError(t, handshake(t, open(t, cfg), "127.0.0.1", "127.0.0.1"))
}
