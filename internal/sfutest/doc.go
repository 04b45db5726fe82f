// Package sfutest tests what the sfu makes of clients' codecs and losses with the real codecs, which the sfu itself does not
// know. It has no code of its own.
package sfutest
