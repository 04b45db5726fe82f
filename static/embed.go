package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

// files is the client. Tests (*.test.js) and package.json are not among it.
//
//go:embed *.html *.css *.svg *.png *.webmanifest
//go:embed app.js banner.js call.js devices.js dom.js failures.js levels.js link.js mic.js move.js old.js prefs.js qr.js resend.js signal.js stereo.js
//go:embed stats.js statsview.js talk.js ui.js ui-join.js ui-page.js ui-panels.js ui-person.js ui-room.js ui-sound.js volume.js
var files embed.FS

// contentSecurityPolicy allows what the page is made of and nothing else: no inline script or style, no frame, no other
// origin. connect-src 'self' includes the WebSocket of the same host and port (CSP level 3, section 6.7.2.8).
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; media-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// permissionsPolicy leaves the page the microphone and the choice of loudspeaker.
const permissionsPolicy = "microphone=(self), speaker-selection=(self), autoplay=(self), clipboard-write=(self), " +
	"camera=(), display-capture=(), geolocation=(), usb=(), serial=(), payment=()"

// Options is what the pages say about the server.
type Options struct {
	// HTTPSPort is the port under which the same host serves HTTPS; 0: none. A page opened over plain HTTP names it,
	// since browsers give the microphone to secure pages only.
	HTTPSPort int
	// ShareBase is the origin of invitation links ("https://192.168.1.5:8443") when the page itself was opened on a
	// loopback address, which is of no use to others; "": the page says so instead.
	ShareBase string
	// CA returns the certificate of the local authority that signed the HTTPS certificate, in PEM and in DER, and its
	// SHA-256 fingerprint for people to compare. Called per request, from any goroutine. nil, or a result without PEM:
	// there is none, and /ca, /ca.pem and /ca.crt do not exist.
	CA func() (pem, der []byte, fingerprint string)
	// Nodes returns the origins of the other nodes of a cluster, which pages may have to go on with. Called per request, from
	// any goroutine. nil: there are none.
	Nodes func() []string
}

// maxNodes bounds the header of a page in a large cluster: about 4 KiB.
const maxNodes = 64

// policy is the content security policy of now: pages may connect to this server and to the other nodes.
func (o *Options) policy() string {
	if o.Nodes == nil {
		return contentSecurityPolicy
	}
	var more strings.Builder
	nodes := o.Nodes()
	for _, node := range nodes[:min(len(nodes), maxNodes)] {
		more.WriteString(" " + node + " ws" + strings.TrimPrefix(node, "http"))
	}
	return strings.Replace(contentSecurityPolicy, "connect-src 'self'", "connect-src 'self'"+more.String(), 1)
}

// asset is one file as it is sent.
type asset struct {
	body, gzipped []byte // gzipped is nil where it saves nothing
	contentType   string
	etag          string // strong, quoted, of body
}

// site is what Handler serves.
type site struct {
	options Options
	base    string // "/static/<hash of all files>": whole versions of the client never mix, and may be cached for ever
	assets  map[string]*asset
	index   *asset
	caPage  *template.Template
}

// Handler serves the web client: GET / and GET /r/{room} (the page), /static/ (its parts), /manifest.webmanifest,
// /favicon.ico, /ca, /ca.pem and /ca.crt (the local certificate authority, if there is one). Everything else is 404.
// Everything is read, rendered and compressed here, once; it panics only if the embedded files are broken, which the
// package's tests rule out.
func Handler(options Options) http.Handler {
	s := &site{options: options, assets: make(map[string]*asset)}
	hash := sha256.New()
	names := must(fs.Glob(files, "*"))
	slices.Sort(names)
	for _, name := range names {
		body := must(files.ReadFile(name))
		hash.Write([]byte(name))
		hash.Write(body)
		if path.Ext(name) != ".html" {
			s.assets[name] = newAsset(body, contentType(name))
		}
	}
	s.base = "/static/" + hex.EncodeToString(hash.Sum(nil)[:8])

	var modules []string // everything app.js imports: fetched at once instead of import by import
	for _, name := range names {
		if path.Ext(name) == ".js" && name != "app.js" && name != "old.js" {
			modules = append(modules, name)
		}
	}
	var page bytes.Buffer
	data := map[string]any{"Base": s.base, "Modules": modules, "HTTPSPort": "", "LocalCA": "0", "ShareBase": options.ShareBase}
	if options.HTTPSPort > 0 {
		data["HTTPSPort"] = strconv.Itoa(options.HTTPSPort)
	}
	if options.CA != nil {
		data["LocalCA"] = "1"
	}
	must(0, template.Must(template.ParseFS(files, "index.html")).Execute(&page, data))
	s.index = newAsset(page.Bytes(), contentType("index.html"))
	s.caPage = template.Must(template.ParseFS(files, "ca.html"))

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.servePage)
	mux.HandleFunc("GET /r/{room}", s.servePage)
	mux.HandleFunc("GET /r/{room}/{$}", s.servePage)
	mux.HandleFunc("GET /static/{name}", s.serveAsset)
	mux.HandleFunc("GET /static/{version}/{name}", s.serveAsset)
	mux.HandleFunc("GET /manifest.webmanifest", s.serveNamed("manifest.webmanifest"))
	mux.HandleFunc("GET /favicon.ico", s.serveNamed("favicon.svg"))
	mux.HandleFunc("GET /ca", s.serveCAPage)
	mux.HandleFunc("GET /ca.pem", s.serveCA)
	mux.HandleFunc("GET /ca.crt", s.serveCA)
	return headers(mux, &options)
}

// headers sets what every answer carries, errors included.
func headers(next http.Handler, options *Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", options.policy())
		h.Set("Permissions-Policy", permissionsPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

func (s *site) servePage(w http.ResponseWriter, r *http.Request) {
	s.index.serve(w, r, "no-cache")
}

// serveAsset serves /static/<version>/name for ever and /static/name, or a name of another version, after asking. During
// a rolling upgrade the page may come from one node and its parts from the next: they get what there is.
func (s *site) serveAsset(w http.ResponseWriter, r *http.Request) {
	a, ok := s.assets[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	cache := "no-cache"
	if "/static/"+r.PathValue("version") == s.base {
		cache = "public, max-age=31536000, immutable"
	}
	a.serve(w, r, cache)
}

func (s *site) serveNamed(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { s.assets[name].serve(w, r, "no-cache") }
}

func newAsset(body []byte, contentType string) *asset {
	sum := sha256.Sum256(body)
	a := &asset{body: body, contentType: contentType, etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
	var z bytes.Buffer
	w := must(gzip.NewWriterLevel(&z, gzip.BestCompression))
	must(w.Write(body))
	must(0, w.Close())
	if z.Len() < len(body)*9/10 {
		a.gzipped = z.Bytes()
	}
	return a
}

// serve answers GET and HEAD, with 304 where the browser has it already.
func (a *asset) serve(w http.ResponseWriter, r *http.Request, cache string) {
	h := w.Header()
	body, etag := a.body, a.etag
	if a.gzipped != nil {
		h.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			body, etag = a.gzipped, strings.TrimSuffix(a.etag, `"`)+`-gz"`
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", cache)
	h.Set("ETag", etag)
	if matches(r.Header.Get("If-None-Match"), etag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client went away: nothing to do about it
	}
}

// acceptsGzip reports whether an Accept-Encoding header allows gzip (RFC 9110 section 12.5.3).
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, parameters, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		q, found := strings.CutPrefix(strings.ReplaceAll(parameters, " ", ""), "q=")
		return !found || strings.Trim(q, "0.") != ""
	}
	return false
}

// matches reports whether an If-None-Match header names etag. Comparison is weak (RFC 9110 section 13.1.2).
func matches(header, etag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimSpace(part)
		if part == "*" || strings.TrimPrefix(part, "W/") == etag {
			return true
		}
	}
	return false
}

// contentType does not ask the operating system's MIME tables, which differ from machine to machine.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".webmanifest":
		return "application/manifest+json"
	default:
		return "application/octet-stream"
	}
}

// must is for what cannot fail with the files that are compiled in.
func must[T any](v T, err error) T {
	if err != nil {
		panic("static: embedded client: " + err.Error())
	}
	return v
}
