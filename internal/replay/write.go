package replay

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// WriteWAV writes 16-bit PCM at 48 kHz.
func (o *Outcome) WriteWAV(w io.Writer) error {
	size := 2 * len(o.PCM)
	b := make([]byte, 44+size)
	copy(b, "RIFF")
	binary.LittleEndian.PutUint32(b[4:], uint32(36+size))
	copy(b[8:], "WAVEfmt ")
	binary.LittleEndian.PutUint32(b[16:], 16)
	binary.LittleEndian.PutUint16(b[20:], 1)
	binary.LittleEndian.PutUint16(b[22:], uint16(o.Channels))
	binary.LittleEndian.PutUint32(b[24:], sampleRate)
	binary.LittleEndian.PutUint32(b[28:], uint32(2*o.Channels*sampleRate))
	binary.LittleEndian.PutUint16(b[32:], uint16(2*o.Channels))
	binary.LittleEndian.PutUint16(b[34:], 16)
	copy(b[36:], "data")
	binary.LittleEndian.PutUint32(b[40:], uint32(size))
	for i, v := range o.PCM {
		s := math.Round(float64(v) * 32767)
		binary.LittleEndian.PutUint16(b[44+2*i:], uint16(int16(max(-32768, min(32767, s)))))
	}
	_, err := w.Write(b)
	return err
}

// WriteCSV writes one line per 10 ms; all but the last four columns count from the start.
func (o *Outcome) WriteCSV(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "time_ms,total_samples_received,concealed_samples,concealment_events,inserted_samples_for_deceleration,"+
		"removed_samples_for_acceleration,jitter_buffer_delay_ms,jitter_buffer_emitted_count,fec_packets_received,"+
		"packets_discarded,target_delay_ms,current_buffer_ms,playout_delay_ms,operation")
	for i := range o.Ticks {
		t := &o.Ticks[i]
		s := &t.Stats
		fmt.Fprintf(b, "%.3f,%d,%d,%d,%d,%d,%.3f,%d,%d,%d,%.1f,%.1f,%.2f,%s\n", float64(t.At)/1e6, s.TotalSamplesReceived,
			s.ConcealedSamples, s.ConcealmentEvents, s.InsertedSamplesForDeceleration, s.RemovedSamplesForAcceleration,
			s.JitterBufferDelay*1000, s.JitterBufferEmittedCount, s.FECPacketsReceived, s.PacketsDiscarded,
			float64(s.TargetDelay)/1e6, float64(s.CurrentDelay)/1e6, float64(s.PlayoutDelay)/1e6, t.Result.Operation)
	}
	return b.Flush()
}
