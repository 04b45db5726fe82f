package replay

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"

	"gonum.org/v1/gonum/dsp/fourier"
)

const (
	spectrumWindow   = 1024  // samples, 21 ms
	spectrumTopHz    = 12000 // of the picture; speech has nothing above
	spectrumRows     = 192
	spectrumColumns  = 4500 // at most
	spectrumLowDB    = -95  // dBFS, black
	spectrumHighDB   = -25  // dBFS, brightest
	spectrumGrades   = 64   // colours; fewer make a smaller file, more are not seen
	spectrumMinWidth = 2
)

// spectrogram draws mono sound as a PNG: time to the right, 0 to 12 kHz upwards, level as colour.
func spectrogram(mono []float32) ([]byte, error) {
	columns := max(spectrumMinWidth, min(spectrumColumns, len(mono)/tickFrames))
	img := image.NewPaletted(image.Rect(0, 0, columns, spectrumRows), spectrumPalette())
	fft := fourier.NewFFT(spectrumWindow)
	window := make([]float64, spectrumWindow)
	sum := 0.0
	for i := range window {
		window[i] = 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/spectrumWindow)
		sum += window[i]
	}
	frame := make([]float64, spectrumWindow)
	var bins []complex128
	const binsPerRow = float64(spectrumTopHz) * spectrumWindow / sampleRate / spectrumRows
	for x := range columns {
		at := int(float64(len(mono))*(float64(x)+0.5)/float64(columns)) - spectrumWindow/2
		for i := range frame {
			frame[i] = 0
			if k := at + i; k >= 0 && k < len(mono) {
				frame[i] = float64(mono[k]) * window[i]
			}
		}
		bins = fft.Coefficients(bins, frame)
		for row := range spectrumRows {
			from := int(float64(row) * binsPerRow)
			to := max(from+1, int(float64(row+1)*binsPerRow))
			power := 0.0
			for _, b := range bins[from:to] {
				power = math.Max(power, real(b)*real(b)+imag(b)*imag(b))
			}
			db := 10 * math.Log10(power*4/(sum*sum)+1e-20)
			grade := (db - spectrumLowDB) / (spectrumHighDB - spectrumLowDB) * (spectrumGrades - 1)
			img.SetColorIndex(x, spectrumRows-1-row, uint8(max(0, min(spectrumGrades-1, math.Round(grade)))))
		}
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, img); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// spectrumPalette goes from almost black over blue and green to pale yellow, each step lighter than the one before.
func spectrumPalette() color.Palette {
	stops := [][3]float64{{8, 14, 22}, {16, 42, 82}, {20, 94, 124}, {32, 150, 128}, {120, 202, 96}, {250, 244, 160}}
	p := make(color.Palette, spectrumGrades)
	for i := range p {
		at := float64(i) / (spectrumGrades - 1) * float64(len(stops)-1)
		k := min(int(at), len(stops)-2)
		mix := func(c int) uint8 { return uint8(math.Round(stops[k][c] + (at-float64(k))*(stops[k+1][c]-stops[k][c]))) }
		p[i] = color.RGBA{mix(0), mix(1), mix(2), 255}
	}
	return p
}

// mono is the mean of the channels.
func (o *Outcome) mono() []float32 {
	if o.Channels == 1 {
		return o.PCM
	}
	m := make([]float32, len(o.PCM)/o.Channels)
	for i := range m {
		for c := range o.Channels {
			m[i] += o.PCM[i*o.Channels+c] / float32(o.Channels)
		}
	}
	return m
}
