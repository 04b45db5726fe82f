package replay

import "parley/neteq"

// decoding is one call to a decoder: which payload, in which tick, whether for the frame before it (in-band redundancy).
type decoding struct {
	tick int
	hash uint64
	fec  bool
}

// watch collects what decoders are asked.
type watch struct {
	tick int
	log  []decoding
}

// watched is a decoder that tells.
type watched struct {
	neteq.Decoder
	to *watch
}

func (d *watched) Decode(payload []byte, pcm []float32) (int, error) {
	d.to.log = append(d.to.log, decoding{d.to.tick, hash(payload), false})
	return d.Decoder.Decode(payload, pcm)
}

func (d *watched) DecodeFEC(payload []byte, pcm []float32) (int, error) {
	n, err := d.Decoder.DecodeFEC(payload, pcm)
	if err == nil {
		d.to.log = append(d.to.log, decoding{d.to.tick, hash(payload), true})
	}
	return n, err
}

// hash is FNV-1a.
func hash(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// Mark and Rewind pass on what the decoder can do of neteq.Rewinder; one that cannot has nothing to forget.
func (d *watched) Mark() {
	if r, ok := d.Decoder.(neteq.Rewinder); ok {
		r.Mark()
	}
}

func (d *watched) Rewind() {
	if r, ok := d.Decoder.(neteq.Rewinder); ok {
		r.Rewind()
	}
}
