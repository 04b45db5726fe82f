package replay

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"parley/neteq"
)

// meanings says in a line what each field of neteq.Stats counts.
var meanings = map[string]string{
	"TotalSamplesReceived":           "played since the first decoded sound, invented or not",
	"ConcealedSamples":               "invented because nothing had come in time, pauses of the sender included",
	"SilentConcealedSamples":         "invented as silence or background noise",
	"ConcealmentEvents":              "times that inventing began",
	"InsertedSamplesForDeceleration": "added by playing slower, to let the delay grow",
	"RemovedSamplesForAcceleration":  "left out by playing faster, to let the delay shrink",
	"JitterBufferEmittedCount":       "taken out of the buffer to be decoded",
	"JitterBufferDelay":              "time in the buffer, mean over the samples taken out",
	"JitterBufferTargetDelay":        "wanted delay, mean over the samples taken out",
	"JitterBufferMinimumDelay":       "wanted delay by jitter alone, mean over the samples taken out",
	"PacketsReceived":                "came in, good or bad",
	"PacketsDiscarded":               "thrown away: too late, or to catch up",
	"FECPacketsReceived":             "carried redundancy about the packet before (in-band, Opus)",
	"FECPacketsDiscarded":            "redundancy that was not needed or too late",
	"LatePackets":                    "came after their time had been concealed",
	"FlushedPackets":                 "dropped to catch up or to keep the buffer's bounds",
	"DuplicatePackets":               "came again",
	"InvalidPackets":                 "malformed, or of a payload type nobody registered",
	"DecodeErrors":                   "payloads that the decoder refused",
	"REDPacketsReceived":             "copies of earlier packets that came inside others (RED)",
	"REDPacketsUsed":                 "copies played in place of a lost packet",
	"FECPacketsUsed":                 "in-band redundancy played in place of a lost packet",
	"RedundancyUnused":               "copies and in-band redundancy that nobody needed",
	"ToleratedTimestamps":            "packets with slightly wrong timestamps, joined as if they were right",
	"BufferFlushes":                  "times that packets were dropped to catch up or to keep the bounds",
	"StreamResets":                   "leaps of timestamps, or changes of SSRC",
	"GeneratedNoiseSamples":          "comfort noise while the sender was silent",
	"ToneEvents":                     "telephone keys",
	"PacketsRequested":               "asked for again (NACK)",
	"SkippedSamples":                 "passed without decoding",
	"DeclaredGapSamples":             "silence that the sender had announced",
	"PausedSamples":                  "of that, while the sender had stopped unannounced, but for its first second",
	"NetworkConcealedSamples":        "the rest: the network's",
	"DelayedOutageSamples":           "invented before sound that came late went on where it had stopped",
	"DelayedOutageEvents":            "times that sound came late and went on where it had stopped",
	"InterruptionCount":              "concealments of 150 ms and more",
	"InterruptionSamples":            "concealed within those",
	"StutterSamples":                 "concealed in runs over 200 ms, pauses of the sender included",
	"NetworkStutterSamples":          "concealed in such runs that were no pause of the sender",
	"EventsOver":                     "concealments over 60, 120, 200 and 500 ms",
	"LongestConcealment":             "the longest of them",
	"RelativeArrivalDelayMs":         "delay behind the fastest recent packet, mean over packets",
	"TargetDelay":                    "wanted delay at the end",
	"CurrentDelay":                   "buffered at the end, decoded or not",
	"PlayoutDelay":                   "of the next packet behind the fastest recent one, at the end",
	"FilteredDelay":                  "buffer level at the end, smoothed",
	"BufferedPackets":                "in the buffer at the end",
	"BufferedBytes":                  "in the buffer at the end",
}

// statistic is a line of the report's table.
type statistic struct{ Name, Value, Meaning string }

// statistics are all fields of the statistics at the end, in their order, but the ticks by operation.
func (o *Outcome) statistics() []statistic {
	last := o.last()
	v := reflect.ValueOf(last)
	var all []statistic
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name == "Operations" || !v.Type().Field(i).IsExported() {
			continue
		}
		all = append(all, statistic{words(name), value(name, v.Field(i).Interface(), &last), meanings[name]})
	}
	return all
}

// value writes a statistic with its unit: samples also as time, what was summed over samples or packets as a mean.
func value(name string, v any, all *neteq.Stats) string {
	switch x := v.(type) {
	case uint64:
		if samples := strings.HasSuffix(name, "Samples") || strings.HasPrefix(name, "InsertedSamples") || strings.HasPrefix(name, "RemovedSamples") ||
			name == "TotalSamplesReceived" || name == "LongestConcealment" || name == "JitterBufferEmittedCount"; samples && x > 0 {
			return fmt.Sprintf("%d (%s)", x, seconds(float64(x)/sampleRate))
		}
		return fmt.Sprint(x)
	case time.Duration:
		return fmt.Sprintf("%.1f ms", float64(x)/1e6)
	case float64:
		if name == "RelativeArrivalDelayMs" {
			return fmt.Sprintf("%.1f ms", x/float64(max(1, all.PacketsReceived)))
		}
		return fmt.Sprintf("%.1f ms", x*1000/float64(max(1, all.JitterBufferEmittedCount)))
	case [4]uint64:
		return fmt.Sprintf("%d, %d, %d, %d", x[0], x[1], x[2], x[3])
	}
	return fmt.Sprint(v)
}

func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.0f ms", s*1000)
	}
	return fmt.Sprintf("%.2f s", s)
}

// words splits a Go name: "FECPacketsUsed" is "FEC packets used".
func words(name string) string {
	r := []rune(name)
	var b strings.Builder
	for i, c := range r {
		if i > 0 && unicode.IsUpper(c) && (unicode.IsLower(r[i-1]) || i+1 < len(r) && unicode.IsLower(r[i+1])) {
			b.WriteByte(' ')
		}
		acronym := i+1 < len(r) && unicode.IsUpper(r[i+1]) || i > 0 && unicode.IsUpper(r[i-1]) && (i+1 == len(r) || unicode.IsUpper(r[i+1]))
		if i > 0 && !acronym {
			c = unicode.ToLower(c)
		}
		b.WriteRune(c)
	}
	return b.String()
}

// operationText says what an operation is, in a word or two for the legend and in a line for the table.
type operationText struct{ label, meaning string }

var operationTexts = map[neteq.Operation]operationText{
	neteq.OpSilence:          {"silence", "nothing heard yet, or the sender said it stops"},
	neteq.OpNormal:           {"as sent", "decoded sound, unchanged"},
	neteq.OpMerge:            {"joined", "decoded sound, joined to what had been invented before it"},
	neteq.OpExpand:           {"invented (repetition)", "nothing came: the last pitch periods repeated, fading"},
	neteq.OpCodecPLC:         {"invented (codec)", "nothing came: the codec continues the sound, fading"},
	neteq.OpFEC:              {"recovered (FEC)", "lost, and decoded from redundancy in the packet after it"},
	neteq.OpAccelerate:       {"faster", "a pitch period left out, to reduce the delay"},
	neteq.OpFastAccelerate:   {"much faster", "several pitch periods left out"},
	neteq.OpPreemptiveExpand: {"slower", "a pitch period put in, to build up delay"},
	neteq.OpRFC3389CNG:       {"comfort noise", "noise as the sender described it (RFC 3389)"},
	neteq.OpCodecCNG:         {"comfort noise (codec)", "the sender is silent and sends nothing (DTX)"},
	neteq.OpDTMF:             {"telephone key", "a tone from a telephone event"},
	neteq.OpMuted:            {"muted", "faded out, nothing buffered"},
	neteq.OpSkipped:          {"skipped", "not decoded: nobody hears this source"},
}

func textOf(op neteq.Operation) operationText {
	if t, ok := operationTexts[op]; ok {
		return t
	}
	return operationText{label: strings.ReplaceAll(op.String(), "_", " ")}
}
