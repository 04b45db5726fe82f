// Package localca is a certificate authority for one node on one LAN: browsers give a page the microphone over HTTPS only, and
// no public authority signs 192.168.1.7.
//
// It makes an authority on first start, keeps it in a directory, and issues the node's server certificate for the addresses and
// names it has now; when they change or the certificate nears its end, a new one takes its place while the server runs. People
// install the authority's certificate once (CA.PEM, CA.DER) and compare its fingerprint.
//
// The authority is constrained (RFC 5280, section 4.2.1.10) to private addresses, localhost, .local and the like, and the name
// this host had when it was made: whoever installs it on a phone does not hand over the web with it. So it does not cover
// public addresses or names; they need a certificate of their own.
//
// It refuses to replace an authority that people may have trusted: a damaged or missing file is an error that names the file.
// It speaks to nobody and is used by one process at a time, though two that start at once end up with the same authority.
package localca
