package opus

import (
	"fmt"
	"reflect"
	"sync"
	"unsafe"

	binding "gopkg.in/hraban/opus.v2"
)

const (
	// SampleRateHz is the rate on the PCM side, in and out.
	SampleRateHz = 48000
	// MaxFrameSamples is the longest packet, 120 ms, in samples per channel (RFC 6716, section 3.2.5, R5).
	MaxFrameSamples = 5760
	// MaxPayload bounds a packet in bytes: six frames of 20 ms with 1,275 bytes each (RFC 6716, section 3.2.1) and
	// their length bytes. A datagram holds less.
	MaxPayload = 6*1275 + 16

	samplesPer2500us = SampleRateHz / 400
)

// stateOf returns the block of memory in which the binding keeps the C state of a codec.
// The field is not exported, and the binding offers no copy; a binding that renames it makes this fail, not misbehave.
func stateOf(codec any) ([]byte, error) {
	f := reflect.ValueOf(codec).Elem().FieldByName("mem")
	if !f.IsValid() || f.Type() != reflect.TypeFor[[]byte]() {
		return nil, fmt.Errorf("%w: %T has no state block", ErrState, codec)
	}
	mem := *(*[]byte)(unsafe.Pointer(f.UnsafeAddr()))
	if len(mem) == 0 {
		return nil, fmt.Errorf("%w: %T is not initialised", ErrState, codec)
	}
	return mem, nil
}

// pristine holds a decoder's state as it is after initialisation, per channel count less one; never written again.
var pristine = [2]func() ([]byte, error){
	sync.OnceValues(func() ([]byte, error) { return freshState(1) }),
	sync.OnceValues(func() ([]byte, error) { return freshState(2) }),
}

func freshState(channels int) ([]byte, error) {
	dec, err := binding.NewDecoder(SampleRateHz, channels)
	if err != nil {
		return nil, err
	}
	return stateOf(dec)
}
