package trunk

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
)

// A hello is
//
//	type 1 | index 4 | number 8 | epoch 8 | share 32 | epoch of the receiver 8 | name, name of the receiver | MAC 16
//
// and its answer
//
//	type 1 | index of the asker 4 | index 4 | epoch 8 | share 32 | MAC 16
//
// An index is what its chooser wants to see in the datagrams of the session. The number grows with every hello of a process,
// so that a recorded one is refused without an answer; that it names the receiver's epoch makes it useless after a restart.
// The answer's MAC covers the hello's. The session stands for its asker with the answer, and for the other with the first
// datagram that authenticates, so that nobody can move a link to keys that its peer does not have.
const (
	shareBytes  = 32
	keyBytes    = 32
	secretBytes = 32
	helloFixed  = 1 + 4 + 8 + 8 + shareBytes + 8
	answerBytes = 1 + 4 + 4 + 8 + shareBytes + tagBytes
	macLabel    = "parley trunk 1 hello"
	keyLabel    = "parley trunk 1 key"
)

// hello is one parsed hello.
type hello struct {
	index    uint32
	number   uint64
	epoch    uint64
	share    []byte
	to       uint64 // the receiver's epoch
	name     string
	receiver string
}

// notary makes and checks the MACs of hellos. One goroutine at a time.
type notary struct {
	mac hash.Hash
	sum [sha256.Size]byte
}

func newNotary(secret []byte) (*notary, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, macLabel, keyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return &notary{mac: hmac.New(sha256.New, key)}, nil
}

// of returns the MAC of b after what it answers; valid until the next call.
func (n *notary) of(before, b []byte) []byte {
	n.mac.Reset()
	n.mac.Write(before)
	n.mac.Write(b)
	return n.mac.Sum(n.sum[:0])[:tagBytes]
}

// genuine checks the MAC at the end of b.
func (n *notary) genuine(before, b []byte) bool {
	end := len(b) - tagBytes
	return end >= 0 && hmac.Equal(n.of(before, b[:end]), b[end:])
}

// appendHello writes all but the MAC.
func (h *hello) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(append(b, typeHello), h.index)
	b = binary.BigEndian.AppendUint64(b, h.number)
	b = binary.BigEndian.AppendUint64(b, h.epoch)
	b = append(b, h.share...)
	b = binary.BigEndian.AppendUint64(b, h.to)
	return appendString(appendString(b, h.name), h.receiver)
}

// parseHello reads a hello whose MAC is right or will be checked.
func parseHello(b []byte) (h hello, ok bool) {
	if len(b) < helloFixed+2+tagBytes || b[0] != typeHello {
		return h, false
	}
	r := reader{b: b[1 : len(b)-tagBytes]}
	h.index, h.number, h.epoch, h.share, h.to = r.uint32(), r.uint64(), r.uint64(), r.bytes(shareBytes), r.uint64()
	h.name, h.receiver = r.string(), r.string()
	return h, !r.bad && len(r.b) == 0 && h.name != "" && len(h.name) <= maxNode && h.epoch != 0
}

// appendAnswer writes all but the MAC.
func appendAnswer(b []byte, to, index uint32, epoch uint64, share []byte) []byte {
	b = binary.BigEndian.AppendUint32(append(b, typeAnswer), to)
	b = binary.BigEndian.AppendUint32(b, index)
	b = binary.BigEndian.AppendUint64(b, epoch)
	return append(b, share...)
}

// party is one end of a session, as far as it goes into the keys.
type party struct {
	name  string
	epoch uint64
	share []byte
}

// deriveKeys returns the AEADs of both directions: of what the asker sends, and of what the other sends.
func deriveKeys(secret []byte, own *ecdh.PrivateKey, peerShare []byte, asker, other party) (there, back cipher.AEAD, err error) {
	share, err := ecdh.X25519().NewPublicKey(peerShare)
	if err != nil {
		return nil, nil, fmt.Errorf("peer's share: %w", err)
	}
	common, err := own.ECDH(share)
	if err != nil {
		return nil, nil, fmt.Errorf("agree on a key: %w", err)
	}
	material := append(append([]byte(nil), secret...), common...)
	salt := append(append([]byte(nil), asker.share...), other.share...)
	info := appendString([]byte(keyLabel), asker.name)
	info = binary.BigEndian.AppendUint64(info, asker.epoch)
	info = appendString(info, other.name)
	info = binary.BigEndian.AppendUint64(info, other.epoch)
	if there, err = newAEAD(material, salt, string(info)+" there"); err != nil {
		return nil, nil, err
	}
	back, err = newAEAD(material, salt, string(info)+" back")
	return there, back, err
}

func newAEAD(material, salt []byte, info string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, material, salt, info, keyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return aead, nil
}

func newShare() (*ecdh.PrivateKey, error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a share: %w", err)
	}
	return key, nil
}
