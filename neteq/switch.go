package neteq

// use makes c the codec that decodes. Coming back to one that was used before, its decoder starts afresh: what it remembers
// is another time's sound.
func (n *NetEq) use(c *codec) {
	if n.codec != nil && n.codec != c && c.decoder != nil {
		_ = c.decoder.Reset() // a decoder that cannot be reset is still better than none
	}
	n.codec = c
}
