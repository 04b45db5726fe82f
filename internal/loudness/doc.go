// Package loudness measures how loud sound is to people (ITU-R BS.1770-4) and brings talkers to the same loudness.
//
// It does no limiting: what a raised voice exceeds full scale by is left to whoever mixes it. It works at 48 kHz only.
package loudness
