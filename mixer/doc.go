// Package mixer turns the packets of a room's sources into one Opus stream per listener: everybody but oneself.
//
// One scheduler owns an absolute grid of 10 ms on the monotonic clock. Rooms are spread over a fixed set of workers and
// over phases inside the 10 ms; a room belongs to one worker, so a tick touches room, NetEq and encoder state without a
// lock. A tick: apply what the mailbox holds; pull 10 ms from every source's NetEq; sum once; for each mix subtract what
// its listeners must not hear, limit; where a frame ends, encode every bus, and then hand the payloads to the listeners.
//
// What a listener gets is its recipe: whom it does not hear, whom it hears with a gain of its own, and its tier. A mix is what has the first
// two in common: one sum and one limiter. A bus is an encoder on it, for one tier. Whoever is not heard in the room shares one mix, so a
// room of any size needs one more than it has speakers, and at most three encodes of each. When a recipe changes so that it is heard, the
// listener forks off: limiter, half-filled frame and encoder state are copied before the first sample that differs, so its stream goes on
// unbroken. After a second in which the difference has had no effect it joins those with the same recipe again, where frames of all
// lengths end. mix.go has the mixes, bus.go the encoders, forkjoin.go the moves, tier.go and gains.go what they follow from.
//
// A room with a limit of speakers hears the loudest. They are chosen by the packets that lie in their buffers: by the level
// that senders state (RFC 6464) or, without it, by what a payload tells undecoded. So a place is taken, and the decoder brought
// into step, before the first syllable is due, and nobody else is decoded. What is stated is compared with what is decoded;
// who lies is judged by the payload, and decoded unheard now and then to see. speakers.go has the rules, outlook.go the levels.
//
// Silence is free: a bus whose encoder is in DTX and whose mix is silent is not encoded but for a refresh every 400 ms,
// a room without listeners only fetches its packets, ten times a second, and a room in which nothing happens is off its
// worker's list until a packet or a command comes.
//
// A worker that does not find the time does less, step by step: no redundancy, lower complexity, longer frames, fewer speakers,
// and at last it asks for nobody to join (ladder.go). A source that takes too long to decode is silent for a second (budget.go).
//
// A large room's worker gives parts of its tick to workers that have nothing to do, and waits for them (fanout.go).
//
// What it refuses to know: SDP, UDP, RTP headers, SRTP, who may join. Packets come in by Source.Push, frames go out by
// Sink.WriteFrame.
//
// Concurrency: every method may be called from any goroutine, but Source.Push from one at a time. The tick never waits
// for a lock: the mailbox is swapped under a mutex that is held for an append, statistics are published with TryLock.
// No two locks are ever held at once.
package mixer
