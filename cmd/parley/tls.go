package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// certCheckPeriod is how often the certificate's files are looked at. ACME clients renew weeks ahead; a minute is soon.
const certCheckPeriod = 30 * time.Second

// fileCert serves a certificate from two files and follows them when they change.
type fileCert struct {
	certFile, keyFile string
	log               *zap.Logger
	current           atomic.Pointer[tls.Certificate]
	seen              fileState
}

// fileState tells whether files have changed: replaced by rename or written in place.
type fileState struct{ cert, key stamp }

type stamp struct {
	modified time.Time
	size     int64
}

func newFileCert(certFile, keyFile string, log *zap.Logger) (*fileCert, error) {
	c := &fileCert{certFile: certFile, keyFile: keyFile, log: log}
	c.seen = c.state()
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *fileCert) state() fileState {
	look := func(name string) stamp {
		info, err := os.Stat(name)
		if err != nil {
			return stamp{}
		}
		return stamp{info.ModTime(), info.Size()}
	}
	return fileState{look(c.certFile), look(c.keyFile)}
}

func (c *fileCert) load() error {
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("https.cert_file %s, https.key_file %s: %w", c.certFile, c.keyFile, err)
	}
	c.current.Store(&cert)
	return nil
}

// GetCertificate is for tls.Config; any goroutine may call it.
func (c *fileCert) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// Run follows the files until ctx ends. A pair that does not fit (one file is new, the other not yet) or does not parse
// leaves the old certificate in use and is tried again.
func (c *fileCert) Run(ctx context.Context) error {
	tick := time.NewTicker(certCheckPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			c.check()
		}
	}
}

func (c *fileCert) check() {
	now := c.state()
	if now == c.seen {
		return
	}
	if err := c.load(); err != nil {
		c.log.Error("the changed certificate cannot be used; the old one stays", zap.Error(err))
		return // seen stays, so it is tried again
	}
	c.seen = now
	c.log.Info("certificate reloaded", zap.String("file", c.certFile), zap.Time("expires", c.current.Load().Leaf.NotAfter))
}
