package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// janusRate is the rate that rooms of the AudioBridge mix at; its own default is 16 kHz, which is half the work.
const janusRate = 48000

// janus joins rooms of a Janus AudioBridge over its HTTP transport: one session for all, one handle for each participant. It
// is there to measure that server with the same crowd.
type janus struct {
	url    string // http://host:port/janus
	client *http.Client

	mu      sync.Mutex
	session string // URL; empty before the first join
	rooms   map[string]uint64
	waiting map[string]chan janusMessage // by transaction
	number  int
	stop    context.CancelFunc
	wg      sync.WaitGroup // of the poller
}

// janusMessage is what we read of Janus' requests, answers and events.
type janusMessage struct {
	Janus       string `json:"janus"`
	Transaction string `json:"transaction"`
	Data        struct {
		ID uint64 `json:"id"`
	} `json:"data"`
	Error struct {
		Code   int    `json:"code"`
		Reason string `json:"reason"`
	} `json:"error"`
	Plugin struct {
		Data struct {
			AudioBridge string `json:"audiobridge"`
			Code        int    `json:"error_code"`
			Error       string `json:"error"`
		} `json:"data"`
	} `json:"plugindata"`
	JSEP struct {
		SDP string `json:"sdp"`
	} `json:"jsep"`
}

const janusRoomExists = 486

func newJanus(base string, client *http.Client) *janus {
	client.Timeout = 0 // polls wait for half a minute
	return &janus{url: base + "/janus", client: client, rooms: make(map[string]uint64), waiting: make(map[string]chan janusMessage)}
}

func (j *janus) join(ctx context.Context, s seat) (session, error) {
	root, err := j.open(ctx)
	if err != nil {
		return session{}, err
	}
	attached, err := j.call(ctx, root, map[string]any{"janus": "attach", "plugin": "janus.plugin.audiobridge"})
	if err != nil {
		return session{}, err
	}
	handle := fmt.Sprintf("%s/%d", root, attached.Data.ID)
	leave := func(ctx context.Context) error {
		_, err := j.call(ctx, handle, map[string]any{"janus": "detach"})
		return err
	}
	answer, err := j.enter(ctx, handle, s)
	if err != nil {
		_ = leave(ctx) // the first error is the one to tell
		return session{}, err
	}
	return session{answer, leave}, nil
}

// open makes the session, once.
func (j *janus) open(ctx context.Context) (string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.session != "" {
		return j.session, nil
	}
	made, err := j.post(ctx, j.url, map[string]any{"janus": "create", "transaction": "open"})
	if err != nil {
		return "", err
	}
	j.session = fmt.Sprintf("%s/%d", j.url, made.Data.ID)
	polling, stop := context.WithCancel(context.WithoutCancel(ctx))
	j.stop = stop
	j.wg.Go(func() { j.poll(polling, j.session) }) // close waits
	return j.session, nil
}

// enter makes the room where it is not there, and takes a seat in it.
func (j *janus) enter(ctx context.Context, handle string, s seat) (string, error) {
	j.mu.Lock()
	room, known := j.rooms[s.room]
	if !known {
		room = uint64(len(j.rooms)) + 1_000_000
		made, err := j.post(ctx, handle, map[string]any{"janus": "message", "transaction": "room", "body": map[string]any{
			"request": "create", "room": room, "sampling_rate": janusRate, "audiolevel_ext": true,
		}})
		if err == nil && made.Plugin.Data.Code != 0 && made.Plugin.Data.Code != janusRoomExists {
			err = fmt.Errorf("make a room: %s", made.Plugin.Data.Error)
		}
		if err != nil {
			j.mu.Unlock()
			return "", err
		}
		j.rooms[s.room] = room
	}
	j.number++
	transaction := fmt.Sprintf("join-%d", j.number)
	event := make(chan janusMessage, 1)
	j.waiting[transaction] = event
	j.mu.Unlock()
	defer func() {
		j.mu.Lock()
		delete(j.waiting, transaction)
		j.mu.Unlock()
	}()
	_, err := j.post(ctx, handle, map[string]any{
		"janus": "message", "transaction": transaction,
		"body": map[string]any{"request": "join", "room": room, "display": s.name},
		"jsep": map[string]any{"type": "offer", "sdp": s.offer},
	})
	if err != nil {
		return "", err
	}
	select {
	case m := <-event:
		if m.JSEP.SDP == "" {
			return "", fmt.Errorf("join: %s, no answer", m.Plugin.Data.Error)
		}
		return m.JSEP.SDP, nil
	case <-ctx.Done():
		return "", fmt.Errorf("join: %w", ctx.Err())
	}
}

// poll takes events and hands them to whoever waits for them.
func (j *janus) poll(ctx context.Context, session string) {
	for ctx.Err() == nil {
		_, body, err := request(ctx, j.client, http.MethodGet, session+"?maxev=20", "", "", "")
		var events []janusMessage
		if err != nil || json.Unmarshal([]byte(body), &events) != nil {
			timer := time.NewTimer(100 * time.Millisecond)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
			}
			continue
		}
		for _, m := range events {
			j.mu.Lock()
			to := j.waiting[m.Transaction]
			j.mu.Unlock()
			if to == nil || m.JSEP.SDP == "" && m.Plugin.Data.Error == "" {
				continue
			}
			select {
			case to <- m:
			default:
			}
		}
	}
}

func (j *janus) call(ctx context.Context, url string, body map[string]any) (janusMessage, error) {
	j.mu.Lock()
	j.number++
	body["transaction"] = fmt.Sprintf("call-%d", j.number)
	j.mu.Unlock()
	return j.post(ctx, url, body)
}

func (j *janus) post(ctx context.Context, url string, body map[string]any) (m janusMessage, err error) {
	data, err := json.Marshal(body)
	if err != nil {
		return m, err
	}
	res, text, err := request(ctx, j.client, http.MethodPost, url, "application/json", "", string(data))
	if err != nil {
		return m, err
	}
	if res.StatusCode != http.StatusOK {
		return m, refusal(res, text)
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return m, fmt.Errorf("janus: %w", err)
	}
	if m.Janus == "error" {
		return m, errors.New("janus: " + m.Error.Reason)
	}
	return m, nil
}

func (j *janus) close() {
	j.mu.Lock()
	session, stop := j.session, j.stop
	j.mu.Unlock()
	if session != "" {
		ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
		defer cancel()
		_, _ = j.call(ctx, session, map[string]any{"janus": "destroy"}) // it would end by itself
		stop()
	}
	j.wg.Wait()
	j.client.CloseIdleConnections()
}
