package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// leaveWithin is how long leaving may take.
const leaveWithin = 10 * time.Second

// seat is what a participant asks for.
type seat struct {
	room, name string
	offer      string
	listen     bool // nothing will be sent
}

// session is a seat taken.
type session struct {
	answer string
	leave  func(context.Context) error
}

// signaler takes seats. Its methods may be called from any goroutine.
type signaler interface {
	join(ctx context.Context, s seat) (session, error)
	close()
}

// refusedError is a server that says no.
type refusedError struct {
	status     int // of HTTP; 0 elsewhere
	body       string
	retryAfter time.Duration // 0: it does not say to come again
}

func (e *refusedError) Error() string {
	if e.status == 0 {
		return "refused: " + e.body
	}
	return fmt.Sprintf("refused with %d: %s", e.status, strings.TrimSpace(e.body))
}

// whip joins by WHIP (RFC 9725), or listeners by WHEP.
type whip struct {
	base   string
	whep   bool // listeners come by WHEP
	token  func(room, name string) (string, error)
	client *http.Client
}

func (w *whip) join(ctx context.Context, s seat) (session, error) {
	kind := "/whip/"
	if s.listen && w.whep {
		kind = "/whep/"
	}
	target := w.base + kind + url.PathEscape(s.room) + "?name=" + url.QueryEscape(s.name)
	token, err := w.token(s.room, s.name)
	if err != nil {
		return session{}, err
	}
	res, body, err := request(ctx, w.client, http.MethodPost, target, "application/sdp", token, s.offer)
	if err != nil {
		return session{}, err
	}
	if res.StatusCode != http.StatusCreated {
		return session{}, refusal(res, body)
	}
	location := res.Header.Get("Location")
	resource, err := res.Request.URL.Parse(location)
	if location == "" || err != nil {
		return session{}, fmt.Errorf("header Location %q is no URL", location)
	}
	leave := func(ctx context.Context) error {
		res, body, err := request(ctx, w.client, http.MethodDelete, resource.String(), "", token, "")
		if err == nil && res.StatusCode/100 != 2 {
			err = refusal(res, body)
		}
		return err
	}
	return session{body, leave}, nil
}

func (w *whip) close() { w.client.CloseIdleConnections() }

func request(ctx context.Context, client *http.Client, method, target, contentType, token, body string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	_ = res.Body.Close()
	return res, string(text), err
}

func refusal(res *http.Response, body string) error {
	e := &refusedError{status: res.StatusCode, body: body}
	if res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable {
		e.retryAfter = time.Second
		if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
			e.retryAfter = time.Duration(seconds) * time.Second
		}
	}
	return e
}

// patiently joins, and comes again as often as the server asks for that and ctx allows. It returns how often it came again.
func patiently(ctx context.Context, s signaler, want seat) (got session, again int, err error) {
	for {
		got, err = s.join(ctx, want)
		var refused *refusedError
		if !errors.As(err, &refused) || refused.retryAfter == 0 {
			return got, again, err
		}
		timer := time.NewTimer(refused.retryAfter)
		select {
		case <-timer.C:
			again++
		case <-ctx.Done():
			timer.Stop()
			return got, again, err
		}
	}
}
