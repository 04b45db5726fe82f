package cluster

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

const (
	bucket = "parley"
	// maxRecord is the largest value: a message, less its envelope.
	maxRecord = 32 << 10
	// maxLater bounds what waits for the store to come back.
	maxLater = 10000
	// storeTimeout bounds one attempt when the caller's context does not; elections in JetStream take up to 9 s.
	storeTimeout = 5 * time.Second
	storeRetry   = 500 * time.Millisecond
	// laterTimeout bounds an attempt of Later's, which has others.
	laterTimeout = time.Second
)

// replicas is how many copies the store keeps in a cluster of that size: an odd number, so that a majority is cheap.
func replicas(size int) int {
	switch {
	case size >= 5:
		return 5
	case size >= 3:
		return 3
	}
	return 1
}

// Store is what the cluster remembers: small records by key, kept by JetStream on disk, synced before a write is
// acknowledged. Keys are paths ("rooms/town hall/settings"), segments may be any text. Reads come from a copy in memory
// and never wait or fail; until the first contact with the servers (Ready) the copy is empty. Writes wait for their
// acknowledgement and fail with ErrUnavailable without one: then the record may or may not have been written.
type Store struct {
	bus      *natsBus
	replicas int
	log      *zap.Logger
	ready    chan struct{} // closed when the copy was complete for the first time
	wake     chan struct{} // capacity 1: later has something

	mu       sync.Mutex
	kv       jetstream.KeyValue // nil: not reached yet
	records  map[string]record
	later    map[string][]byte // value nil: delete
	watchers map[int]watcher
	nextID   int
	counts   StoreStats
}

type record struct {
	value    []byte // nil: deleted, kept for its revision
	revision uint64
}

type watcher struct {
	prefix string
	f      func(key string, value []byte)
}

func newStore(bus *natsBus, replicas int, log *zap.Logger) *Store {
	return &Store{
		bus: bus, replicas: replicas, log: log.Named("store"), ready: make(chan struct{}), wake: make(chan struct{}, 1),
		records: map[string]record{}, later: map[string][]byte{}, watchers: map[int]watcher{},
	}
}

// Ready is closed when the copy in memory has been complete once.
func (s *Store) Ready() <-chan struct{} { return s.ready }

// Get reads a record from the copy in memory, what Later has accepted included. The revision is for Update; 0 for what
// only waits to be written. It does not copy the value: read only.
func (s *Store) Get(key string) (value []byte, revision uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if value, waits := s.later[key]; waits {
		return value, 0, value != nil
	}
	r := s.records[key]
	return r.value, r.revision, r.value != nil
}

// Keys lists the keys that begin with prefix, in no order.
func (s *Store) Keys(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for key, r := range s.records {
		if _, waits := s.later[key]; r.value != nil && !waits && strings.HasPrefix(key, prefix) {
			out = append(out, key)
		}
	}
	for key, value := range s.later {
		if value != nil && strings.HasPrefix(key, prefix) {
			out = append(out, key)
		}
	}
	return out
}

// Put writes a record and gives its revision when a majority of the replicas has it on disk. A nil value is written as
// an empty one.
func (s *Store) Put(ctx context.Context, key string, value []byte) (revision uint64, err error) {
	return s.write(ctx, key, value, func(ctx context.Context, kv jetstream.KeyValue, k string) (uint64, error) {
		return kv.Put(ctx, k, value)
	})
}

// Update is Put if the record is still of that revision; 0: if there is none. ErrConflict: it is not.
func (s *Store) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return s.write(ctx, key, value, func(ctx context.Context, kv jetstream.KeyValue, k string) (uint64, error) {
		if revision == 0 {
			return kv.Create(ctx, k, value)
		}
		return kv.Update(ctx, k, value, revision)
	})
}

// Delete removes a record; none is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	_, err := s.write(ctx, key, nil, func(ctx context.Context, kv jetstream.KeyValue, k string) (uint64, error) {
		return 0, kv.Delete(ctx, k)
	})
	return err
}

// Later accepts a write (nil: a delete) that is made as soon as the store can be reached, the newest for each key. It
// never waits. It is lost if the process ends before; use Put for what must not be.
func (s *Store) Later(key string, value []byte) error {
	if err := checkRecord(key, value); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, waits := s.later[key]; !waits && len(s.later) >= maxLater {
		return fmt.Errorf("store %q later: %d records wait: %w", key, maxLater, ErrUnavailable)
	}
	s.later[key] = value
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// Watch calls f for every change below prefix, by whichever node, from now on: value nil means deleted. Calls come from
// the store's goroutine, in order; f must not block. What is there already is for Keys and Get to read, after Watch.
func (s *Store) Watch(prefix string, f func(key string, value []byte)) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.nextID
	s.nextID++
	s.watchers[id] = watcher{prefix, f}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, id)
	}
}

func checkRecord(key string, value []byte) error {
	switch {
	case !validName(key):
		return fmt.Errorf("store %q: %w", key, ErrBadName)
	case len(value) > maxRecord:
		return fmt.Errorf("store %q: %d bytes: %w", key, len(value), ErrTooLarge)
	}
	return nil
}

func (s *Store) write(ctx context.Context, key string, value []byte, do func(context.Context, jetstream.KeyValue, string) (uint64, error)) (uint64, error) {
	if err := checkRecord(key, value); err != nil {
		return 0, err
	}
	s.mu.Lock()
	kv := s.kv
	s.mu.Unlock()
	if kv == nil {
		return 0, fmt.Errorf("store %q: no server has answered yet: %w", key, ErrUnavailable)
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	begin := time.Now()
	revision, err := do(ctx, kv, encodeKey(key))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.observe(time.Since(begin))
	switch {
	case err == nil:
	case errors.Is(err, jetstream.ErrKeyExists):
		s.counts.Conflicts++
		return 0, fmt.Errorf("store %q: %w", key, ErrConflict)
	default:
		s.counts.Errors++
		return 0, fmt.Errorf("store %q: %w: %w", key, ErrUnavailable, err)
	}
	if revision > s.records[key].revision { // what is written can be read at once
		if value == nil {
			value = []byte{}
		}
		s.records[key] = record{value, revision}
	}
	return revision, nil
}

// run keeps the copy in memory and makes the writes of Later, until ctx ends.
func (s *Store) run(ctx context.Context) error {
	select {
	case <-s.bus.up:
	case <-ctx.Done():
		return nil
	}
	again := make(chan struct{}, 1) // the connection is back: what was followed must be followed anew
	conn, err := s.bus.connect("store", nats.ReconnectHandler(func(*nats.Conn) {
		select {
		case again <- struct{}{}:
		default:
		}
	}))
	if err != nil {
		return err
	}
	defer conn.Close()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.follow(ctx, conn, again) })
	group.Go(func() error { return s.writeLater(ctx) })
	return group.Wait()
}

// follow opens the bucket and follows it; whenever that breaks, again.
func (s *Store) follow(ctx context.Context, conn *nats.Conn, again <-chan struct{}) error {
	for {
		err := s.followOnce(ctx, conn, again)
		if ctx.Err() != nil {
			return nil
		}
		s.log.Debug("store not reached", zap.Error(err))
		if !pause(ctx, storeRetry) {
			return nil
		}
	}
}

func (s *Store) followOnce(ctx context.Context, conn *nats.Conn, again <-chan struct{}) error {
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	kv, err := s.open(ctx, js)
	if err != nil {
		return err
	}
	changes, err := kv.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = changes.Stop() }()
	s.mu.Lock()
	s.kv = kv
	s.mu.Unlock()
	s.log.Info("store reached")
	s.nudge()
	for {
		select {
		case e, open := <-changes.Updates():
			switch {
			case !open:
				return errors.New("watch ended")
			case e == nil:
				s.complete()
			default:
				s.changed(e)
			}
		case <-again:
			return errors.New("connection was lost")
		case <-ctx.Done():
			return nil
		}
	}
}

// open finds or makes the bucket, and gives it more replicas when the cluster has grown.
func (s *Store) open(ctx context.Context, js jetstream.JetStream) (jetstream.KeyValue, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	want := jetstream.KeyValueConfig{
		Bucket: bucket, Description: "what Parley remembers", History: 1, MaxValueSize: maxRecord,
		Storage: jetstream.FileStorage, Replicas: s.replicas,
	}
	kv, err := js.KeyValue(ctx, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return js.CreateKeyValue(ctx, want)
	}
	if err != nil {
		return nil, err
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return nil, err
	}
	if status.Config().Replicas < s.replicas {
		return js.UpdateKeyValue(ctx, want)
	}
	return kv, nil
}

func (s *Store) complete() {
	select {
	case <-s.ready:
	default:
		close(s.ready)
	}
}

func (s *Store) changed(e jetstream.KeyValueEntry) {
	key, err := decodeKey(e.Key())
	if err != nil {
		s.mu.Lock()
		s.counts.Errors++ // somebody else's key in our bucket
		s.mu.Unlock()
		return
	}
	r := record{revision: e.Revision()}
	if e.Operation() == jetstream.KeyValuePut {
		r.value = append([]byte{}, e.Value()...)
	}
	s.mu.Lock()
	if r.revision >= s.records[key].revision {
		s.records[key] = r
	}
	var tell []watcher
	for _, w := range s.watchers {
		if strings.HasPrefix(key, w.prefix) {
			tell = append(tell, w)
		}
	}
	s.mu.Unlock()
	for _, w := range tell {
		w.f(key, r.value)
	}
}

// writeLater makes the writes that wait, and tries again those that fail.
func (s *Store) writeLater(ctx context.Context) error {
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil
		}
		for {
			key, value, any := s.nextLater()
			if !any {
				break
			}
			if err := s.writeNow(ctx, key, value); err != nil {
				if !pause(ctx, storeRetry) {
					return nil
				}
				continue
			}
			s.written(key, value)
		}
	}
}

func (s *Store) writeNow(ctx context.Context, key string, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, laterTimeout)
	defer cancel()
	if value == nil {
		return s.Delete(ctx, key)
	}
	_, err := s.Put(ctx, key, value)
	return err
}

func (s *Store) nextLater() (key string, value []byte, any bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, value = range s.later {
		return key, value, true
	}
	return "", nil, false
}

// written takes a key off the list, unless it was given another value meanwhile.
func (s *Store) written(key string, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now, waits := s.later[key]; waits && string(now) == string(value) && (now == nil) == (value == nil) {
		delete(s.later, key)
	}
}

func (s *Store) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// pause waits; false: ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// encodeKey makes a NATS key of a path: each segment in base64, so that no segment is a wildcard or a separator. An
// empty segment is "_", which is nobody's base64.
func encodeKey(key string) string {
	segments := strings.Split(key, "/")
	for i, s := range segments {
		if segments[i] = encodeToken(s); s == "" {
			segments[i] = "_"
		}
	}
	return strings.Join(segments, ".")
}

func decodeKey(key string) (string, error) {
	segments := strings.Split(key, ".")
	for i, s := range segments {
		if s == "_" {
			segments[i] = ""
			continue
		}
		raw, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			return "", err
		}
		segments[i] = string(raw)
	}
	return strings.Join(segments, "/"), nil
}
