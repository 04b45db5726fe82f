package neteq

// Packet is one RTP packet (RFC 3550, section 5.1) as NetEq needs it, after SRTP and header parsing.
//
// Payload is without RTP padding and is borrowed: Insert copies what it keeps.
type Packet struct {
	SequenceNumber uint16
	Timestamp      uint32 // RTP clock of the payload's format
	SSRC           uint32
	PayloadType    uint8 // 0..127
	Marker         bool
	// AudioLevel is the RFC 6464 level: 0 (loudest, 0 dBov) to 127 (silence, -127 dBov). Valid when HasAudioLevel.
	AudioLevel    uint8
	HasAudioLevel bool
	Payload       []byte
}
