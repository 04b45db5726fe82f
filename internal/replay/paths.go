package replay

import (
	"math"
	"strconv"
)

// path builds the d attribute of an SVG path with few digits.
type path struct {
	b    []byte
	last byte
}

func (p *path) op(c byte, v ...float64) {
	if c != p.last || c == 'M' {
		p.b = append(p.b, c)
	} else {
		p.b = append(p.b, ' ')
	}
	p.last = c
	for i, x := range v {
		if i > 0 {
			p.b = append(p.b, ' ')
		}
		p.b = strconv.AppendFloat(p.b, math.Round(x*10)/10+0, 'f', -1, 64)
	}
}

// dot draws a point: a line without length, round at its ends, keeps its shape at every zoom.
func (p *path) dot(x, y float64) {
	p.op('M', x, y)
	p.op('h', 0)
}

// step draws a horizontal line to x and on to y.
func (p *path) step(x, y float64) {
	if len(p.b) == 0 {
		p.op('M', x, y)
		return
	}
	p.op('H', x)
	p.op('V', y)
}

func (p *path) String() string { return string(p.b) }

// scale maps values upwards in a box of height 100.
type scale struct{ top, height float64 }

func (s scale) y(v float64) float64 { return s.height * (1 - max(0, min(1, v/s.top))) }

// niceTop is a round number not below v, with the step of two to six lines below it.
func niceTop(v float64) (top, step float64) {
	for decade := 1.0; ; decade *= 10 {
		for _, k := range []float64{1, 2, 5} {
			if step = k * decade; v <= 5*step {
				return math.Ceil(v/step) * step, step
			}
		}
	}
}

// envelope draws the lowest and highest samples of equal stretches as a filled shape between 0 and 100, in width ms.
func envelope(mono []float32, width float64) (shape string, peak float32) {
	const most = 12000
	n := max(1, min(most, 2*len(mono)/tickFrames)) // 5 ms each
	low, high := make([]float32, n), make([]float32, n)
	for i := range n {
		for _, v := range mono[len(mono)*i/n : len(mono)*(i+1)/n] {
			low[i], high[i] = min(low[i], v), max(high[i], v)
		}
		peak = max(peak, high[i], -low[i])
	}
	full := max(peak, 1e-4)
	y := func(v float32) float64 { return 50 - 49*float64(v/full) }
	var p path
	for i := range n {
		p.op(lineOr('M', i), width*(float64(i)+0.5)/float64(n), y(high[i]))
	}
	for i := n - 1; i >= 0; i-- {
		p.op('L', width*(float64(i)+0.5)/float64(n), y(low[i]))
	}
	p.op('Z')
	return p.String(), peak
}

func lineOr(first byte, i int) byte {
	if i == 0 {
		return first
	}
	return 'L'
}
