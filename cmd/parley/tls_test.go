package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
)

// writeCert makes a self-signed certificate with the given serial number.
func writeCert(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if name == "" {
			continue
		}
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		// Serial numbers stand for moments, so that two quick writes differ on any file system.
		when := time.Unix(1_700_000_000+serial, 0)
		if err := os.Chtimes(name, when, when); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFileCertFollowsItsFiles(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCert(t, certFile, keyFile, 1)
	c, err := newFileCert(certFile, keyFile, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		cert, err := c.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return cert.Leaf.SerialNumber.Int64()
	}
	c.check()
	if serial() != 1 {
		t.Errorf("serial %d, want 1", serial())
	}
	writeCert(t, certFile, "", 2) // half of the pair: the key is still the old one
	c.check()
	if serial() != 1 {
		t.Errorf("half a pair: serial %d, want 1", serial())
	}
	writeCert(t, certFile, keyFile, 3)
	c.check()
	if serial() != 3 {
		t.Errorf("after the change: serial %d, want 3", serial())
	}
	if err := os.WriteFile(certFile, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.check()
	if serial() != 3 {
		t.Errorf("garbage: serial %d, want 3", serial())
	}
}

func TestFileCertErrors(t *testing.T) {
	if _, err := newFileCert("/nonexistent/c", "/nonexistent/k", zap.NewNop()); err == nil {
		t.Error("missing files were accepted")
	}
}
