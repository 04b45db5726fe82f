package cluster

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/nats-io/nkeys"
)

// NewKey makes a cluster key: the nkey seed that all nodes of a cluster share.
func NewKey() (string, error) {
	kp, err := nkeys.CreateCluster()
	if err != nil {
		return "", err
	}
	defer kp.Wipe()
	seed, err := kp.Seed()
	return string(seed), err
}

// rawKey checks a cluster key and gives its 32 bytes.
func rawKey(key string) ([]byte, error) {
	prefix, raw, err := nkeys.DecodeSeed([]byte(key))
	if err != nil || prefix != nkeys.PrefixByteCluster || len(raw) != ed25519.SeedSize {
		return nil, errors.New("is not an nkey seed of a cluster (SC…)")
	}
	return raw, nil
}

// derive makes a secret of 32 bytes for one purpose. The key was checked before.
func derive(raw []byte, purpose string) []byte {
	out, err := hkdf.Key(sha256.New, raw, nil, "parley cluster "+purpose, 32)
	if err != nil {
		panic("cluster: hkdf: " + err.Error()) // 32 bytes of SHA-256 always fit
	}
	return out
}

func trunkSecret(key string) []byte {
	raw, err := rawKey(key)
	if err != nil {
		return nil
	}
	return derive(raw, "trunk")
}

// routePassword is what servers present to each other inside TLS, beside their certificates.
func routePassword(raw []byte) string {
	return base64.RawURLEncoding.EncodeToString(derive(raw, "routes"))
}

// Certificates made from the key are good for as long as the key is: whoever changes the one changes the other.
var (
	certFrom  = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	certUntil = time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC)
)

// routeTLS is mutual TLS between nodes that hold the same key. The authority exists in memory only: every node makes it
// from the key, issues itself a certificate for a fresh private key, and trusts what the same authority has signed.
// Names do not matter: holding the key is the membership.
func routeTLS(raw []byte, node string) (*tls.Config, error) {
	caKey := ed25519.NewKeyFromSeed(derive(raw, "authority"))
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "parley cluster"}, NotBefore: certFrom, NotAfter: certUntil,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, fmt.Errorf("make cluster authority: %w", err)
	}
	if ca, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: node}, NotBefore: certFrom, NotAfter: certUntil,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if der, err = x509.CreateCertificate(rand.Reader, leaf, ca, public, caKey); err != nil {
		return nil, fmt.Errorf("issue cluster certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	verify := func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("no certificate")
		}
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		return err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}},
		ClientAuth: tls.RequireAnyClientCert, VerifyConnection: verify,
		InsecureSkipVerify: true, // names are not compared; VerifyConnection does the rest, on both sides
		ClientCAs:          roots, RootCAs: roots,
	}, nil
}
