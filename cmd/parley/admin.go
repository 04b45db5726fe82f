package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"parley/cluster"
)

// adminHandler serves what is for operators only: metrics, the cluster unless nodes is nil, and profiles if asked for.
func adminHandler(registry *prometheus.Registry, nodes http.Handler, token string, profiles bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry, MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /{$}", adminIndex)
	if nodes != nil {
		mux.Handle(cluster.AdminPrefix, nodes)
	}
	if profiles {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return adminOnly(mux, token)
}

// adminOnly lets requests with the token through. Without one it is the listener's address that keeps strangers out, and
// the check of the Host header the pages in an operator's browser: a page that has its own name resolve to 127.0.0.1
// still sends that name.
func adminOnly(next http.Handler, token string) http.Handler {
	want := sha256.Sum256([]byte("Bearer " + token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token != "" {
			got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
			if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
				w.Header().Set("WWW-Authenticate", `Bearer realm="parley admin"`)
				http.Error(w, "a token is needed (admin.token)", http.StatusUnauthorized)
				return
			}
		} else if !namesThisMachine(r.Host) {
			http.Error(w, "use this machine's address or localhost, or set admin.token", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// namesThisMachine reports whether a Host header is an address or localhost, with or without a port.
func namesThisMachine(host string) bool {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	if host == "localhost" {
		return true
	}
	_, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil
}

func adminIndex(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("parley admin: /metrics\n")) // the client's loss
}
