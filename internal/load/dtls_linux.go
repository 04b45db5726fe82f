package load

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"
)

// identity is the certificate that all participants share: a key pair each would cost more than the handshakes.
type identity struct {
	certificate tls.Certificate
	fingerprint string
}

func newIdentity() (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	sum := sha256.Sum256(der)
	hex := make([]string, len(sum))
	for i, b := range sum {
		hex[i] = fmt.Sprintf("%02X", b)
	}
	return &identity{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, "sha-256 " + strings.Join(hex, ":")}, nil
}

// pipe is the net.PacketConn that DTLS reads from and writes to: the loop puts datagrams in, writes go to the socket.
type pipe struct {
	in     chan []byte
	local  net.Addr
	remote net.Addr

	mu       sync.Mutex
	socket   socket
	muted    bool // nothing is sent any more
	closed   chan struct{}
	deadline chan struct{} // closed when the read deadline is over
	timer    *time.Timer
}

func newPipe(s socket, remote net.Addr) *pipe {
	return &pipe{in: make(chan []byte, 32), local: &net.UDPAddr{}, remote: remote, socket: s, closed: make(chan struct{}),
		deadline: make(chan struct{})}
}

// put hands over a datagram; one too many is dropped, as networks do.
func (p *pipe) put(b []byte) {
	select {
	case p.in <- bytes.Clone(b):
	default:
	}
}

// mute makes the pipe forget its socket, which may be closed then.
func (p *pipe) mute() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted = true
}

// ReadFrom implements net.PacketConn.
func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	p.mu.Lock()
	over := p.deadline
	p.mu.Unlock()
	select {
	case d := <-p.in:
		return copy(b, d), p.remote, nil
	case <-p.closed:
		return 0, nil, net.ErrClosed
	case <-over:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

// WriteTo implements net.PacketConn.
func (p *pipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.muted && len(b) > 0 {
		_ = p.socket.send(b) // what is lost is sent again
	}
	return len(b), nil
}

// Close implements net.PacketConn.
func (p *pipe) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !isClosed(p.closed) {
		close(p.closed)
	}
	if p.timer != nil {
		p.timer.Stop()
	}
	return nil
}

// LocalAddr implements net.PacketConn.
func (p *pipe) LocalAddr() net.Addr { return p.local }

// SetDeadline implements net.PacketConn.
func (p *pipe) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn: it ends reads that wait already, too.
func (p *pipe) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	if isClosed(p.deadline) {
		p.deadline = make(chan struct{})
	}
	over := p.deadline
	switch wait := time.Until(t); {
	case t.IsZero():
	case wait <= 0:
		close(over)
	default:
		p.timer = time.AfterFunc(wait, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if !isClosed(over) {
				close(over)
			}
		})
	}
	return nil
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// SetWriteDeadline implements net.PacketConn; writes do not wait.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

var errFingerprint = errors.New("the server's certificate is not the one it announced")

// keys are what a handshake yields.
type keys struct{ in, out *srtp.Context }

// shake does the DTLS handshake over p and returns SRTP contexts for both ways. The connection is returned too: it
// answers handshake messages that come again, until it is closed.
func (id *identity) shake(ctx context.Context, p *pipe, theirs answer) (keys, *dtls.Conn, error) {
	verify := func(raw [][]byte, _ [][]*x509.Certificate) error {
		if len(raw) == 0 || !theirs.matches(raw[0]) {
			return errFingerprint
		}
		return nil
	}
	var conn *dtls.Conn
	var err error
	profiles := dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	if theirs.active {
		conn, err = dtls.ServerWithOptions(p, p.remote, dtls.WithCertificates(id.certificate), profiles,
			dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret), dtls.WithInsecureSkipVerify(true),
			dtls.WithClientAuth(dtls.RequireAnyClientCert), dtls.WithVerifyPeerCertificate(verify))
	} else {
		conn, err = dtls.ClientWithOptions(p, p.remote, dtls.WithCertificates(id.certificate), profiles,
			dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret), dtls.WithInsecureSkipVerify(true),
			dtls.WithVerifyPeerCertificate(verify))
	}
	if err != nil {
		return keys{}, nil, fmt.Errorf("dtls: %w", err)
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return keys{}, nil, fmt.Errorf("dtls handshake: %w", err)
	}
	k, err := srtpKeys(conn, !theirs.active)
	if err != nil {
		_ = conn.Close()
		return keys{}, nil, err
	}
	return k, conn, nil
}

func srtpKeys(conn *dtls.Conn, client bool) (keys, error) {
	var k keys
	profile, ok := conn.SelectedSRTPProtectionProfile()
	state, known := conn.ConnectionState()
	if !ok || !known {
		return k, errors.New("dtls: no SRTP profile was agreed on")
	}
	c := srtp.Config{Profile: srtp.ProtectionProfile(profile)}
	if err := c.ExtractSessionKeysFromDTLS(&state, client); err != nil {
		return k, fmt.Errorf("export SRTP keys: %w", err)
	}
	var err error
	if k.in, err = srtp.CreateContext(c.Keys.RemoteMasterKey, c.Keys.RemoteMasterSalt, c.Profile); err != nil {
		return k, fmt.Errorf("srtp: %w", err)
	}
	if k.out, err = srtp.CreateContext(c.Keys.LocalMasterKey, c.Keys.LocalMasterSalt, c.Profile); err != nil {
		return k, fmt.Errorf("srtp: %w", err)
	}
	return k, nil
}

// matches compares a certificate with the announced fingerprint (RFC 8122, section 5).
func (a answer) matches(der []byte) bool {
	switch a.hash {
	case "sha-256":
		sum := sha256.Sum256(der)
		return bytes.Equal(sum[:], a.print)
	case "sha-384":
		sum := sha512.Sum384(der)
		return bytes.Equal(sum[:], a.print)
	case "sha-512":
		sum := sha512.Sum512(der)
		return bytes.Equal(sum[:], a.print)
	}
	return false
}
