package static

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func get(t *testing.T, h http.Handler, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(b)
}

func fakeCA() (pem, der []byte, fingerprint string) {
	return []byte("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"), []byte{0x30, 0x03, 0x02, 0x01, 0x01}, "AB:CD:<EF>"
}

func TestPages(t *testing.T) {
	h := Handler(Options{HTTPSPort: 8443, ShareBase: `https://10.0.0.2:8443/"><b>`, CA: fakeCA})
	for _, test := range []struct {
		target, contentType, contains string
		status                        int
	}{
		{"/", "text/html; charset=utf-8", `name="https-port" content="8443"`, 200},
		{"/", "text/html; charset=utf-8", `name="share-base" content="https://10.0.0.2:8443/&#34;&gt;&lt;b&gt;"`, 200},
		{"/r/calm-otter", "text/html; charset=utf-8", `id="join-form"`, 200},
		{"/r/%C3%BCbung/", "text/html; charset=utf-8", `id="join-form"`, 200},
		{"/r/a/b", "", "", 404},
		{"/r/", "", "", 404},
		{"/nothing", "", "", 404},
		{"/manifest.webmanifest", "application/manifest+json", `"start_url"`, 200},
		{"/favicon.ico", "image/svg+xml", "<svg", 200},
		{"/static/app.js", "text/javascript; charset=utf-8", "class App", 200},
		{"/static/0123/app.js", "text/javascript; charset=utf-8", "class App", 200},
		{"/static/style.css", "text/css; charset=utf-8", ":root", 200},
		{"/static/icon-180.png", "image/png", "PNG", 200},
		{"/static/index.html", "", "", 404}, // only as a page, rendered
		{"/static/embed.go", "", "", 404},
		{"/static/call.test.js", "", "", 404},
		{"/static/package.json", "", "", 404},
		{"/static/..%2Fgo.mod", "", "", 404},
		{"/ca", "text/html; charset=utf-8", "AB:CD:&lt;EF&gt;", 200},
		{"/ca.pem", "application/x-pem-file", "BEGIN CERTIFICATE", 200},
		{"/ca.crt", "application/x-x509-ca-cert", "\x30\x03\x02\x01\x01", 200},
	} {
		t.Run(test.target, func(t *testing.T) {
			r := get(t, h, test.target)
			require.Equal(t, test.status, r.StatusCode)
			if test.status == 200 {
				assert.Equal(t, test.contentType, r.Header.Get("Content-Type"))
				assert.Contains(t, body(t, r), test.contains)
				assert.NotEmpty(t, r.Header.Get("ETag"))
			}
			assert.Equal(t, "nosniff", r.Header.Get("X-Content-Type-Options"))
			assert.Equal(t, contentSecurityPolicy, r.Header.Get("Content-Security-Policy"))
		})
	}
	post := httptest.NewRecorder()
	h.ServeHTTP(post, httptest.NewRequest(http.MethodPost, "/", nil))
	assert.Equal(t, http.StatusMethodNotAllowed, post.Code)
}

func TestWithoutHTTPSAndCA(t *testing.T) {
	h := Handler(Options{})
	page := body(t, get(t, h, "/"))
	assert.Contains(t, page, `name="https-port" content=""`)
	assert.Contains(t, page, `name="local-ca" content="0"`)
	for _, target := range []string{"/ca", "/ca.pem", "/ca.crt"} {
		assert.Equal(t, 404, get(t, h, target).StatusCode, target)
	}
	none := Handler(Options{CA: func() ([]byte, []byte, string) { return nil, nil, "" }})
	assert.Equal(t, 404, get(t, none, "/ca").StatusCode, "an authority that is not there yet")
}

// TestPolicyForbidsInline holds the policy to what makes it worth having.
func TestPolicyForbidsInline(t *testing.T) {
	for _, directive := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} {
		assert.Contains(t, contentSecurityPolicy, directive)
	}
	for _, hole := range []string{"unsafe", "*", "http:", "https:", "data:"} {
		assert.NotContains(t, contentSecurityPolicy, hole)
	}
}

// TestMarkupIsClean looks for what the policy would block: inline script, style and handlers, other origins.
func TestMarkupIsClean(t *testing.T) {
	external := regexp.MustCompile(`(?i)(?:src|href|url|import|from|fetch)\s*[=(:]?\s*["'(]*\s*(?:https?:)?//[a-z0-9]`)
	names, err := fs.Glob(files, "*")
	require.NoError(t, err)
	for _, name := range names {
		b, err := files.ReadFile(name)
		require.NoError(t, err)
		text := string(b)
		switch path.Ext(name) {
		case ".html", ".svg":
			assert.NotRegexp(t, `(?i)<style`, text, name)
			assert.NotRegexp(t, `(?i)\sstyle\s*=`, text, name)
			assert.NotRegexp(t, `(?i)\son[a-z]+\s*=`, text, name)
			assert.NotRegexp(t, `(?i)javascript:`, text, name)
			for _, script := range regexp.MustCompile(`(?is)<script([^>]*)>(.*?)</script>`).FindAllStringSubmatch(text, -1) {
				assert.Contains(t, script[1], "src=", name)
				assert.Empty(t, strings.TrimSpace(script[2]), name)
			}
		case ".js":
			assert.NotRegexp(t, `\b(?:eval|innerHTML|outerHTML|insertAdjacentHTML|document\.write)\b`, text, name)
			assert.NotRegexp(t, `new Function\b`, text, name)
		case ".png":
			continue
		}
		assert.NotRegexp(t, external, text, name)
	}
	// The pattern itself must be able to fail.
	for _, bad := range []string{`<script src="https://cdn.example/x.js">`, `import x from "//cdn.example/x.js"`, `url(http://fonts.example/a)`} {
		assert.Regexp(t, external, bad)
	}
}

// TestReferencesExist fetches whatever the pages, the style sheet, the manifest and the modules name.
func TestReferencesExist(t *testing.T) {
	h := Handler(Options{HTTPSPort: 8443, CA: fakeCA})
	seen := map[string]bool{}
	var walk func(target string)
	walk = func(target string) {
		if seen[target] {
			return
		}
		seen[target] = true
		r := get(t, h, target)
		require.Equal(t, 200, r.StatusCode, target)
		text := body(t, r)
		var pattern string
		switch strings.SplitN(r.Header.Get("Content-Type"), ";", 2)[0] {
		case "text/html":
			pattern = `(?:src|href)="([^"#]+)"`
		case "text/css":
			pattern = `url\("?([^")]+)"?\)`
		case "text/javascript":
			pattern = `(?:from |import\()"([^"]+)"`
		case "application/manifest+json":
			pattern = `"(?:src|start_url)": ?"([^"]+)"`
		default:
			return
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			next := m[1]
			if !strings.HasPrefix(next, "/") {
				next = path.Join(path.Dir(target), next)
			}
			walk(next)
		}
	}
	for _, page := range []string{"/", "/ca"} {
		walk(page)
	}
	names, err := fs.Glob(files, "*")
	require.NoError(t, err)
	fetched := map[string]bool{}
	for target := range seen {
		fetched[path.Base(target)] = true
	}
	for _, name := range names {
		assert.True(t, fetched[name] || path.Ext(name) == ".html", "%s is embedded, and nothing refers to it", name)
	}
}

// TestIDsExist holds the ids that the ui files ask for against those of index.html, and the icons against the sprite.
func TestIDsExist(t *testing.T) {
	page, err := files.ReadFile("index.html")
	require.NoError(t, err)
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(`\sid="([^"]+)"`).FindAllStringSubmatch(string(page), -1) {
		assert.False(t, ids[m[1]], "id %s twice", m[1])
		ids[m[1]] = true
	}
	asked := 0
	check := func(where, id string) {
		asked++
		assert.True(t, ids[id], "%s names #%s, which index.html does not have", where, id)
	}
	for _, m := range regexp.MustCompile(`(?:href="#|for="|aria-controls="|aria-labelledby="|aria-describedby=")([^"]+)"`).FindAllStringSubmatch(string(page), -1) {
		check("index.html", m[1])
	}
	names, err := fs.Glob(files, "*.js")
	require.NoError(t, err)
	for _, name := range names {
		b, err := files.ReadFile(name)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`\$\("([^"]+)"\)`).FindAllStringSubmatch(string(b), -1) {
			check(name, m[1])
		}
		for _, m := range regexp.MustCompile(`icon\("([^"]+)"\)|"#(i-[^"]+)"`).FindAllStringSubmatch(string(b), -1) {
			if m[1] != "" {
				check(name, "i-"+m[1])
			} else {
				check(name, m[2])
			}
		}
	}
	assert.Greater(t, asked, 60, "the patterns find what they look for")
}

func TestCaching(t *testing.T) {
	h := Handler(Options{})
	first := get(t, h, "/")
	assert.Equal(t, "no-cache", first.Header.Get("Cache-Control"))
	again := get(t, h, "/", "If-None-Match", `"x", W/`+first.Header.Get("ETag"))
	assert.Equal(t, http.StatusNotModified, again.StatusCode)
	assert.Empty(t, body(t, again))

	base := regexp.MustCompile(`/static/[0-9a-f]{16}/`).FindString(body(t, first))
	require.NotEmpty(t, base)
	assert.Contains(t, get(t, h, base+"app.js").Header.Get("Cache-Control"), "immutable")
	assert.Equal(t, "no-cache", get(t, h, "/static/0123456789abcdef/app.js").Header.Get("Cache-Control"), "another version's address")
	assert.Equal(t, "no-cache", get(t, h, "/static/app.js").Header.Get("Cache-Control"))
}

func TestGzip(t *testing.T) {
	h := Handler(Options{})
	plain := get(t, h, "/static/app.js")
	want := body(t, plain)
	packed := get(t, h, "/static/app.js", "Accept-Encoding", "br, gzip;q=0.8")
	assert.Equal(t, "gzip", packed.Header.Get("Content-Encoding"))
	assert.NotEqual(t, plain.Header.Get("ETag"), packed.Header.Get("ETag"))
	assert.Equal(t, "Accept-Encoding", packed.Header.Get("Vary"))
	z, err := gzip.NewReader(packed.Body)
	require.NoError(t, err)
	got, err := io.ReadAll(z)
	require.NoError(t, err)
	assert.Equal(t, want, string(got))

	for header, want := range map[string]bool{"": false, "gzip": true, "GZIP": true, "gzip;q=0": false, "gzip; q=0.0": false, "gzip;q=0.1": true, "br": false, "x-gzip": false} {
		assert.Equal(t, want, acceptsGzip(header), "%q", header)
	}
}

func TestHead(t *testing.T) {
	w := httptest.NewRecorder()
	Handler(Options{}).ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/", nil))
	assert.Equal(t, 200, w.Code)
	assert.NotEmpty(t, w.Header().Get("Content-Length"))
	assert.Zero(t, w.Body.Len())
}
