// Package resample changes the sample rate of a stream of audio: what telephone codecs make (8 and 16 kHz) and what files
// and captures hold (24, 32, 44.1 kHz) into the 48 kHz that everything else here runs at, and back.
//
// It is a polyphase filter with linear phase: flat up to 85 % of the lower of the two Nyquist frequencies, 80 dB down at
// 115 %, and as short as that allows, because its length is delay in a call. It refuses what a call does not need: rates
// that change while running (that is a new Resampler), and ratios that would need large tables.
package resample
