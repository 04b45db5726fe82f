package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"parley/signaling"
)

// httpListeners is one HTTP server on one or more addresses.
type httpListeners struct {
	name      string
	server    *http.Server
	listeners []net.Listener
	addrs     []netip.AddrPort // as bound
	tls       bool
}

// listenHTTP binds the addresses; with a TLS configuration it is HTTPS, with HTTP/2. On an error nothing stays open.
func listenHTTP(name string, server *http.Server, addrs []netip.AddrPort, conf *tls.Config) (*httpListeners, error) {
	h := &httpListeners{name: name, server: server, tls: conf != nil}
	if conf != nil {
		server.TLSConfig = conf.Clone()
	}
	for _, a := range addrs {
		l, err := net.Listen(listenArgs(a))
		if err != nil {
			h.close()
			return nil, fmt.Errorf("%s.listen: %w", name, err)
		}
		bound := l.Addr().(*net.TCPAddr).AddrPort()
		h.addrs = append(h.addrs, netip.AddrPortFrom(bound.Addr().Unmap(), bound.Port()))
		h.listeners = append(h.listeners, signaling.LimitListener(l, 0, 0))
	}
	return h, nil
}

// listenArgs are net.Listen's arguments for an address. A wildcard of IPv6 takes IPv4 too, where the system has both.
func listenArgs(a netip.AddrPort) (network, address string) {
	if a.Addr() == netip.IPv6Unspecified() {
		return "tcp", ":" + strconv.Itoa(int(a.Port()))
	}
	if a.Addr().Is4() {
		return "tcp4", a.String()
	}
	return "tcp6", a.String()
}

// Run serves until ctx ends.
func (h *httpListeners) Run(ctx context.Context) error {
	ended := make(chan error, len(h.listeners))
	for _, l := range h.listeners {
		go func() { ended <- h.serve(l) }() // received below, once for each
	}
	var failure error
	left := len(h.listeners)
	select {
	case <-ctx.Done():
	case failure = <-ended:
		left--
	}
	// Clients have been told already, and sockets of /ws are the signaling server's: what is left is a moment's work.
	graceful, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if h.server.Shutdown(graceful) != nil {
		_ = h.server.Close() // errors of closing are of no use to anybody
	}
	h.close()
	for range left {
		if err := <-ended; failure == nil && !errors.Is(err, http.ErrServerClosed) {
			failure = err
		}
	}
	return failure
}

func (h *httpListeners) serve(l net.Listener) error {
	if h.tls {
		return h.server.ServeTLS(l, "", "")
	}
	return h.server.Serve(l)
}

// close closes listeners that were never served; it does no harm to others.
func (h *httpListeners) close() {
	for _, l := range h.listeners {
		_ = l.Close()
	}
}

// httpErrorLog takes what net/http has to say. Most of it is about clients (a TLS handshake that a browser broke off
// because it does not trust the local CA yet) and would fill the log from outside; a panic in a handler is ours.
func httpErrorLog(to *zap.Logger) *log.Logger { return log.New(httpErrors{to}, "", 0) }

type httpErrors struct{ log *zap.Logger }

// Write implements io.Writer.
func (h httpErrors) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if strings.HasPrefix(text, "http: panic serving") {
		h.log.Error("a handler panicked", zap.String("err", text))
	} else {
		h.log.Debug("http", zap.String("err", text))
	}
	return len(line), nil
}
