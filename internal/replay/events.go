package replay

// event is one stretch of invented sound.
type event struct {
	from, to int     // ticks
	ms       float64 // concealed within
}

// concealedPerTick spreads concealment, which is made in blocks longer than 10 ms, over the ticks that play it: samples.
func (o *Outcome) concealedPerTick() []float64 {
	out := make([]float64, len(o.Ticks))
	var previous, carry float64
	for i := range o.Ticks {
		c := float64(o.Ticks[i].Stats.ConcealedSamples)
		carry = max(0, carry+c-previous)
		previous = c
		out[i] = min(carry, tickFrames)
		carry -= out[i]
	}
	return out
}

// events are the runs of ticks with concealment.
func (o *Outcome) events() []event {
	var all []event
	open := false
	for i, c := range o.concealedPerTick() {
		if c == 0 {
			open = false
			continue
		}
		if !open {
			all = append(all, event{from: i})
			open = true
		}
		e := &all[len(all)-1]
		e.to = i + 1
		e.ms += c / sampleRate * 1000
	}
	return all
}
