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
	var head [44]byte
	copy(head[:], "RIFF")
	binary.LittleEndian.PutUint32(head[4:], uint32(36+size))
	copy(head[8:], "WAVEfmt ")
	binary.LittleEndian.PutUint32(head[16:], 16)
	binary.LittleEndian.PutUint16(head[20:], 1)
	binary.LittleEndian.PutUint16(head[22:], uint16(o.Channels))
	binary.LittleEndian.PutUint32(head[24:], sampleRate)
	binary.LittleEndian.PutUint32(head[28:], uint32(2*o.Channels*sampleRate))
	binary.LittleEndian.PutUint16(head[32:], uint16(2*o.Channels))
	binary.LittleEndian.PutUint16(head[34:], 16)
	copy(head[36:], "data")
	binary.LittleEndian.PutUint32(head[40:], uint32(size))
	b := bufio.NewWriter(w)
	_, _ = b.Write(head[:]) // an error stays until Flush
	for _, v := range o.PCM {
		s := uint16(int16(max(-32768, min(32767, math.Round(float64(v)*32767)))))
		_, _ = b.Write([]byte{byte(s), byte(s >> 8)})
	}
	return b.Flush()
}

// csvColumns are those of the log per 10 ms: first what reference receivers log, then what we add.
const csvColumns = "total_samples_received,concealed_samples,concealment_events,inserted_samples_for_deceleration," +
	"removed_samples_for_acceleration,jitter_buffer_delay_ms,jitter_buffer_emitted_count,fec_packets_received," +
	"packets_discarded,target_delay_ms,current_buffer_ms,operation,time_ms,playout_delay_ms"

// WriteCSV writes one line per 10 ms. Columns up to packets_discarded count from the start (samples at 48 kHz;
// jitter_buffer_delay_ms is summed over emitted samples), the others are of the moment.
func (o *Outcome) WriteCSV(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, csvColumns)
	for i := range o.Ticks {
		t := &o.Ticks[i]
		s := &t.Stats
		fmt.Fprintf(b, "%d,%d,%d,%d,%d,%.3f,%d,%d,%d,%.1f,%.1f,%s,%.3f,%.2f\n", s.TotalSamplesReceived,
			s.ConcealedSamples, s.ConcealmentEvents, s.InsertedSamplesForDeceleration, s.RemovedSamplesForAcceleration,
			s.JitterBufferDelay*1000, s.JitterBufferEmittedCount, s.FECPacketsReceived, s.PacketsDiscarded,
			float64(s.TargetDelay)/1e6, float64(s.CurrentDelay)/1e6, t.Result.Operation, float64(t.At)/1e6, float64(s.PlayoutDelay)/1e6)
	}
	return b.Flush()
}
