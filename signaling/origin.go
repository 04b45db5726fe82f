package signaling

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// origins decides which web pages may talk to us.
type origins struct {
	listed map[string]bool // canonical: scheme://host[:port], lower case, no default port
}

func newOrigins(list []string) (origins, error) {
	o := origins{listed: make(map[string]bool, len(list))}
	for _, s := range list {
		u, ok := parseOrigin(s)
		if !ok {
			return o, fmt.Errorf("origin %q is not of the form https://host or https://host:port", s)
		}
		o.listed[u.Scheme+"://"+u.Host] = true
	}
	return o, nil
}

// parseOrigin reads the value of an Origin header (RFC 6454 section 7) in canonical form. "null", anything with user,
// path, query or fragment, and schemes that are not the web's are refused.
func parseOrigin(s string) (*url.URL, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Hostname() == "" ||
		u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.ContainsAny(s, "#*") {
		return nil, false
	}
	u.Host = canonicalHost(u.Scheme, u.Host)
	return u, true
}

func canonicalHost(scheme, host string) string {
	host = strings.ToLower(host)
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// allowed reports whether the request comes from a page of this server (same host and port as the request's own) or of
// a listed origin. A request without Origin comes from no page and is not allowed: who is no browser says so by
// sending the server's own address. The scheme of our own pages is not compared, since TLS may end in front of us.
func (o origins) allowed(r *http.Request) bool {
	u, ok := requestOrigin(r)
	return ok && (u.Host == canonicalHost(u.Scheme, r.Host) || o.listed[u.Scheme+"://"+u.Host])
}

// crossOrigin returns the Origin header's value when it is a listed one, for Access-Control-Allow-Origin.
func (o origins) crossOrigin(r *http.Request) (string, bool) {
	u, ok := requestOrigin(r)
	if !ok || !o.listed[u.Scheme+"://"+u.Host] {
		return "", false
	}
	return r.Header.Get("Origin"), true
}

func requestOrigin(r *http.Request) (*url.URL, bool) {
	values := r.Header.Values("Origin")
	if len(values) != 1 {
		return nil, false
	}
	return parseOrigin(values[0])
}
