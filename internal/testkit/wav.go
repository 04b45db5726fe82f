package testkit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
)

// SampleRate is the only rate of this package, in Hz.
const SampleRate = 48000

// WAV format tags (Microsoft Multimedia Programming Interface, mmreg.h).
const (
	wavPCM   = 1
	wavFloat = 3
)

// ErrWAV marks a file that is not a WAV file this package reads.
var ErrWAV = errors.New("not a usable WAV file")

// WriteWAV writes mono 48 kHz PCM as 16-bit WAV, the form every player and Chromium's fake capture device read.
// Samples outside [-1, 1] are clipped.
func WriteWAV(path string, pcm []float32) error {
	data := make([]byte, 0, 44+2*len(pcm))
	data = append(data, "RIFF"...)
	data = binary.LittleEndian.AppendUint32(data, uint32(36+2*len(pcm)))
	data = append(data, "WAVEfmt "...)
	data = binary.LittleEndian.AppendUint32(data, 16)
	data = binary.LittleEndian.AppendUint16(data, wavPCM)
	data = binary.LittleEndian.AppendUint16(data, 1)
	data = binary.LittleEndian.AppendUint32(data, SampleRate)
	data = binary.LittleEndian.AppendUint32(data, SampleRate*2)
	data = binary.LittleEndian.AppendUint16(data, 2)
	data = binary.LittleEndian.AppendUint16(data, 16)
	data = append(data, "data"...)
	data = binary.LittleEndian.AppendUint32(data, uint32(2*len(pcm)))
	for _, s := range pcm {
		v := math.Round(float64(s) * 32767)
		data = binary.LittleEndian.AppendUint16(data, uint16(int16(max(-32768, min(32767, v)))))
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("write wav: %w", err)
	}
	return nil
}

// ReadWAV reads a 16-bit or 32-bit float WAV file and returns its first channel and its rate in Hz.
func ReadWAV(path string) (pcm []float32, rateHz int, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, fmt.Errorf("read wav: %w", err)
	}
	pcm, rateHz, err = parseWAV(data)
	if err != nil {
		return nil, 0, fmt.Errorf("read wav %s: %w", path, err)
	}
	return pcm, rateHz, nil
}

func parseWAV(data []byte) (pcm []float32, rateHz int, err error) {
	if len(data) < 12 || string(data[:4]) != "RIFF" || string(data[8:12]) != "WAVE" {
		return nil, 0, fmt.Errorf("%w: no RIFF/WAVE header", ErrWAV)
	}
	var format, channels, bits int
	for rest := data[12:]; len(rest) >= 8; {
		id, size := string(rest[:4]), int(binary.LittleEndian.Uint32(rest[4:8]))
		rest = rest[8:]
		if size < 0 || size > len(rest) {
			size = len(rest) // a recorder that was killed leaves a short last chunk
		}
		chunk := rest[:size]
		rest = rest[min(size+size&1, len(rest)):]
		switch id {
		case "fmt ":
			if size < 16 {
				return nil, 0, fmt.Errorf("%w: fmt chunk of %d bytes", ErrWAV, size)
			}
			format = int(binary.LittleEndian.Uint16(chunk))
			channels = int(binary.LittleEndian.Uint16(chunk[2:]))
			rateHz = int(binary.LittleEndian.Uint32(chunk[4:]))
			bits = int(binary.LittleEndian.Uint16(chunk[14:]))
		case "data":
			if channels < 1 {
				return nil, 0, fmt.Errorf("%w: data before fmt", ErrWAV)
			}
			switch {
			case format == wavPCM && bits == 16:
				for i := 0; i+2*channels <= len(chunk); i += 2 * channels {
					pcm = append(pcm, float32(int16(binary.LittleEndian.Uint16(chunk[i:])))/32768)
				}
			case format == wavFloat && bits == 32:
				for i := 0; i+4*channels <= len(chunk); i += 4 * channels {
					pcm = append(pcm, math.Float32frombits(binary.LittleEndian.Uint32(chunk[i:])))
				}
			default:
				return nil, 0, fmt.Errorf("%w: format %d with %d bits", ErrWAV, format, bits)
			}
			return pcm, rateHz, nil
		}
	}
	return nil, 0, fmt.Errorf("%w: no data chunk", ErrWAV)
}
