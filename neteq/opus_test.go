package neteq

import "testing"

func TestOpusDuration(t *testing.T) { // 7.10 item 108
	for _, c := range []struct {
		name string
		in   []byte
		want int
	}{
		{"empty", nil, 0},
		{"SILK 10 ms", []byte{0 << 3, 1}, 480}, {"SILK 20 ms", []byte{1 << 3, 1}, 960},
		{"SILK 40 ms", []byte{2 << 3, 1}, 1920}, {"SILK 60 ms", []byte{3 << 3, 1}, 2880},
		{"hybrid 10 ms", []byte{12 << 3, 1}, 480}, {"hybrid 20 ms", []byte{15 << 3, 1}, 960},
		{"CELT 2.5 ms", []byte{16 << 3, 1}, 120}, {"CELT 5 ms", []byte{17 << 3, 1}, 240}, {"CELT 20 ms", []byte{31 << 3, 1}, 960},
		{"two frames", []byte{1<<3 | 1, 1, 1}, 1920}, {"two unequal", []byte{1<<3 | 2, 1, 1, 1}, 1920},
		{"six of 20 ms", []byte{1<<3 | 3, 6, 0}, 5760}, {"two of 60 ms", []byte{3<<3 | 3, 2, 0}, 5760},
		{"seven of 20 ms", []byte{1<<3 | 3, 7, 0}, 0}, {"code 3, no frames", []byte{1<<3 | 3, 0, 0}, 0},
		{"code 3 cut off", []byte{1<<3 | 3}, 0}, {"48 of 2.5 ms", []byte{16<<3 | 3, 48, 0}, 5760}, {"49 of 2.5 ms", []byte{16<<3 | 3, 49, 0}, 0},
		{"80 ms", []byte{1<<3 | 3, 4, 0}, 3840}, {"100 ms", []byte{1<<3 | 3, 5, 0}, 4800},
	} {
		if got := opusDuration(c.in); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestOpusFEC(t *testing.T) { // item 106
	for _, c := range []struct {
		name string
		in   []byte
		want int
	}{
		{"20 ms mono", []byte{0x08, 0x40}, 960}, {"20 ms mono, all other bits", []byte{0x08, 0xbf}, 0},
		{"40 ms mono", []byte{0x10, 0x20}, 1920}, {"40 ms mono, others", []byte{0x10, 0xdf}, 0},
		{"60 ms mono", []byte{0x18, 0x10}, 2880}, {"10 ms mono", []byte{0x00, 0x40}, 480},
		{"20 ms stereo, side", []byte{0x0c, 0x10}, 960}, {"20 ms stereo, mid", []byte{0x0c, 0x40}, 960}, {"20 ms stereo, none", []byte{0x0c, 0xaf}, 0},
		{"40 ms stereo, side", []byte{0x14, 0x04}, 1920}, {"60 ms stereo, side", []byte{0x1c, 0x01}, 2880},
		{"CELT", []byte{0x80, 0xff}, 0}, {"CELT 20 ms", []byte{0xf8, 0xff}, 0}, {"no frame", []byte{0x08}, 0}, {"empty", nil, 0},
		{"three frames of 20 ms", []byte{0x0b, 3, 0x40, 0, 0x40, 0, 0, 0}, 960},
		{"unequal frames", []byte{0x0a, 2, 0x40, 0, 0}, 960}, {"padding", []byte{0x0b, 0x41, 2, 0x40, 0, 0}, 960},
		{"padding past the end", []byte{0x0b, 0x41, 9, 0x40}, 0}, {"DTX frame first", []byte{0x0a, 0, 0x40}, 0},
	} {
		if got := opusFECSamples(c.in); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	for _, c := range []struct {
		in   []byte
		want bool
	}{{[]byte{8}, true}, {[]byte{8, 0}, true}, {[]byte{8, 0, 0}, false}} {
		if got := opusIsDTX(c.in); got != c.want {
			t.Errorf("%v: DTX %v", c.in, got)
		}
	}
}

func FuzzOpusParsing(f *testing.F) {
	f.Add([]byte{0x0b, 0x41, 2, 0x40, 0, 0})
	f.Add([]byte{0x0a, 252, 255, 1, 2})
	f.Fuzz(func(t *testing.T, in []byte) {
		d, fec := opusDuration(in), opusFECSamples(in)
		if d < 0 || d > maxFrameSamples || fec < 0 || fec > 2880 || fec > 0 && (d == 0 || fec > d) {
			t.Fatalf("%x: duration %d, redundancy %d", in, d, fec)
		}
		if first := opusFirstFrame(in); len(first) >= len(in) && len(in) > 0 {
			t.Fatalf("%x: first frame of %d bytes", in, len(first))
		}
	})
}
