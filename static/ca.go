package static

import (
	"bytes"
	"net/http"
	"strconv"
)

// serveCAPage shows how to trust the local authority.
func (s *site) serveCAPage(w http.ResponseWriter, r *http.Request) {
	_, _, fingerprint, ok := s.ca()
	if !ok {
		http.NotFound(w, r)
		return
	}
	data := map[string]any{"Base": s.base, "Fingerprint": fingerprint, "HTTPSPort": ""}
	if s.options.HTTPSPort > 0 {
		data["HTTPSPort"] = strconv.Itoa(s.options.HTTPSPort)
	}
	var page bytes.Buffer
	if err := s.caPage.Execute(&page, data); err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	newAsset(page.Bytes(), contentType("ca.html")).serve(w, r, "no-cache")
}

// serveCA gives the certificate: PEM for tools and Linux, DER for phones, macOS and Windows. The type makes Android,
// iOS and Firefox offer to install it (RFC 2585 registers application/pkix-cert; these three know the older name).
func (s *site) serveCA(w http.ResponseWriter, r *http.Request) {
	pem, der, _, ok := s.ca()
	if !ok {
		http.NotFound(w, r)
		return
	}
	// Not an attachment: iOS and Firefox then offer to install it; the others save it under this name.
	a, disposition := newAsset(der, "application/x-x509-ca-cert"), `inline; filename="parley-ca.crt"`
	if r.URL.Path == "/ca.pem" {
		a, disposition = newAsset(pem, "application/x-pem-file"), `attachment; filename="parley-ca.pem"`
	}
	a.gzipped = nil // installers on phones do not expect it
	w.Header().Set("Content-Disposition", disposition)
	a.serve(w, r, "no-cache")
}

func (s *site) ca() (pem, der []byte, fingerprint string, ok bool) {
	if s.options.CA == nil {
		return nil, nil, "", false
	}
	pem, der, fingerprint = s.options.CA()
	return pem, der, fingerprint, len(pem) > 0 && len(der) > 0
}
