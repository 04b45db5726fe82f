package main

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestAdminOnly(t *testing.T) {
	for _, tc := range []struct {
		token, host, authorization string
		want                       int
	}{
		{"", "127.0.0.1:9090", "", 200},
		{"", "localhost:9090", "", 200},
		{"", "[::1]:9090", "", 200},
		{"", "10.0.0.1", "", 200},
		{"", "evil.example:9090", "", 403},
		{"", "localhost.evil.example", "", 403},
		{"", "", "", 403},
		{"0123456789abcdef", "metrics.example", "Bearer 0123456789abcdef", 200},
		{"0123456789abcdef", "127.0.0.1:9090", "", 401},
		{"0123456789abcdef", "127.0.0.1:9090", "Bearer ", 401},
		{"0123456789abcdef", "127.0.0.1:9090", "Bearer 0123456789abcdeF", 401},
		{"0123456789abcdef", "127.0.0.1:9090", "0123456789abcdef", 401},
	} {
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.Host = tc.host
		if tc.authorization != "" {
			r.Header.Set("Authorization", tc.authorization)
		}
		w := httptest.NewRecorder()
		adminHandler(prometheus.NewRegistry(), nil, tc.token, false).ServeHTTP(w, r)
		if w.Code != tc.want {
			t.Errorf("token %q, host %q, authorization %q: %d, want %d", tc.token, tc.host, tc.authorization, w.Code, tc.want)
		}
	}
}

func TestHTTPErrorLog(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	log := httpErrorLog(zap.New(core))
	log.Print("http: TLS handshake error from 192.168.1.7:5000: remote error: tls: unknown certificate")
	log.Print("http: panic serving 192.168.1.7:5000: boom")
	all := logs.All()
	if len(all) != 2 || all[0].Level != zapcore.DebugLevel || all[1].Level != zapcore.ErrorLevel ||
		!strings.Contains(all[1].ContextMap()["err"].(string), "boom") {
		t.Errorf("logged %v", all)
	}
}
