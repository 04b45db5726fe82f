package signaling

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var full = Grants{Publish: true, Subscribe: true}

func TestNewTokenAndVerify(t *testing.T) {
	v := newVerifier(map[string]string{testKey: testSecret, "key2": strings.Repeat("b", 40)})
	want := Token{Identity: "ann@example.org", Name: "Ann", Room: "kitchen", Grants: Grants{Publish: true, Record: true}}
	s, err := NewToken(testKey, testSecret, want, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	got, key, err := v.verify(s, "kitchen")
	if err != nil || got != want || key != testKey {
		t.Errorf("%+v %q %v", got, key, err)
	}
	if got, _, err := v.verifyAnyRoom(s); err != nil || got != want {
		t.Errorf("any room: %+v %v", got, err)
	}
}

func TestNewTokenRefuses(t *testing.T) {
	good := Token{Identity: "ann", Room: "a", Grants: full}
	for name, c := range map[string]struct {
		key, secret string
		t           Token
		ttl         time.Duration
	}{
		"no key":       {"", testSecret, good, time.Hour},
		"short secret": {testKey, testSecret[:31], good, time.Hour},
		"no identity":  {testKey, testSecret, Token{Room: "a", Grants: full}, time.Hour},
		"server":       {testKey, testSecret, Token{Identity: "server", Room: "a", Grants: full}, time.Hour},
		"tilde":        {testKey, testSecret, Token{Identity: "a~b", Room: "a", Grants: full}, time.Hour},
		"no room":      {testKey, testSecret, Token{Identity: "ann", Grants: full}, time.Hour},
		"no grants":    {testKey, testSecret, Token{Identity: "ann", Room: "a"}, time.Hour},
		"bad name":     {testKey, testSecret, Token{Identity: "ann", Name: "\x1b[2J", Room: "a", Grants: full}, time.Hour},
		"two days":     {testKey, testSecret, good, 48 * time.Hour},
		"no life":      {testKey, testSecret, good, 0},
	} {
		if s, err := NewToken(c.key, c.secret, c.t, c.ttl, time.Now()); err == nil {
			t.Errorf("%s: made %s", name, s)
		}
	}
}

// a server with a weak secret does not start.
func TestWeakSecrets(t *testing.T) {
	for _, keys := range []map[string]string{{"k": "short"}, {"k": testSecret[:31]}, {"": testSecret}, {"good": testSecret, "k": ""}} {
		if _, err := New(Config{Rooms: newFakeRooms(), Keys: keys}); err == nil || strings.Contains(err.Error(), "short") {
			t.Errorf("%v: %v", keys, err)
		}
	}
}

// sign makes a token of any kind.
func sign(t *testing.T, m jwt.SigningMethod, key any, header, claims map[string]any) string {
	t.Helper()
	token := jwt.NewWithClaims(m, jwt.MapClaims(claims))
	for k, v := range header {
		token.Header[k] = v
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// forged, foreign and odd tokens.
func TestBadTokens(t *testing.T) { synctest.Test(t, badTokens) } // the clock stands still in there

func badTokens(t *testing.T) {
	now := time.Now()
	claims := func(change ...any) map[string]any {
		c := map[string]any{"iss": testKey, "sub": "ann", "room": "a", "exp": now.Add(time.Hour).Unix(), "nbf": now.Unix(),
			"grants": map[string]any{"publish": true}}
		for i := 0; i < len(change); i += 2 {
			if change[i+1] == nil {
				delete(c, change[i].(string))
			} else {
				c[change[i].(string)] = change[i+1]
			}
		}
		return c
	}
	secret := []byte(testSecret)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hs := func(c map[string]any) string { return sign(t, jwt.SigningMethodHS256, secret, nil, c) }
	good := hs(claims())
	parts := strings.Split(good, ".")
	segment := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	raw := func(claims string) string { // a good signature over any text
		head := segment(`{"alg":"HS256","typ":"JWT"}`) + "." + segment(claims)
		sig, err := jwt.SigningMethodHS256.Sign(head, secret)
		if err != nil {
			t.Fatal(err)
		}
		return head + "." + base64.RawURLEncoding.EncodeToString(sig)
	}

	cases := map[string]struct {
		token string
		code  Code
	}{
		"good":                      {good, ""},
		"good, expired within 5 s":  {hs(claims("exp", now.Add(-3*time.Second).Unix())), ""},
		"good, nbf within 5 s":      {hs(claims("nbf", now.Add(3*time.Second).Unix())), ""},
		"good, no nbf":              {hs(claims("nbf", nil)), ""},
		"good, kid is ignored":      {sign(t, jwt.SigningMethodHS256, secret, map[string]any{"kid": "../../etc/passwd"}, claims()), ""},
		"good, jwk is ignored":      {sign(t, jwt.SigningMethodHS256, secret, map[string]any{"jwk": map[string]any{"kty": "oct", "k": "YWFh"}}, claims()), ""},
		"empty":                     {"", CodeBadToken},
		"expired":                   {hs(claims("exp", now.Add(-time.Minute).Unix())), CodeTokenExpired},
		"alg none":                  {sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, claims()), CodeBadToken},
		"alg None":                  {segment(`{"alg":"None"}`) + "." + parts[1] + ".", CodeBadToken},
		"alg missing":               {segment(`{"typ":"JWT"}`) + "." + parts[1] + "." + parts[2], CodeBadToken},
		"alg is a number":           {segment(`{"alg":256}`) + "." + parts[1] + "." + parts[2], CodeBadToken},
		"alg hs256":                 {segment(`{"alg":"hs256"}`) + "." + parts[1] + "." + parts[2], CodeBadToken},
		"HS384":                     {sign(t, jwt.SigningMethodHS384, secret, nil, claims()), CodeBadToken},
		"HS512":                     {sign(t, jwt.SigningMethodHS512, secret, nil, claims()), CodeBadToken},
		"RS256":                     {sign(t, jwt.SigningMethodRS256, rsaKey, nil, claims()), CodeBadToken},
		"ES256":                     {sign(t, jwt.SigningMethodES256, ecKey, nil, claims()), CodeBadToken},
		"RS256 head, HMAC inside":   {segment(`{"alg":"RS256","typ":"JWT"}`) + "." + parts[1] + "." + parts[2], CodeBadToken},
		"ES256 head, HMAC inside":   {segment(`{"alg":"ES256","typ":"JWT"}`) + "." + parts[1] + "." + parts[2], CodeBadToken},
		"no signature":              {parts[0] + "." + parts[1] + ".", CodeBadToken},
		"signature of another":      {parts[0] + "." + parts[1] + "." + strings.Split(hs(claims("sub", "bob")), ".")[2], CodeBadToken},
		"claims of another":         {parts[0] + "." + strings.Split(hs(claims("sub", "bob")), ".")[1] + "." + parts[2], CodeBadToken},
		"wrong secret":              {sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), nil, claims()), CodeBadToken},
		"empty secret":              {sign(t, jwt.SigningMethodHS256, []byte{}, nil, claims("iss", "nobody")), CodeBadToken},
		"wrong iss":                 {hs(claims("iss", "key9")), CodeBadToken},
		"secret of another key":     {hs(claims("iss", "key2")), CodeBadToken},
		"no iss":                    {hs(claims("iss", nil)), CodeBadToken},
		"iss is a list":             {hs(claims("iss", []string{testKey})), CodeBadToken},
		"no sub":                    {hs(claims("sub", nil)), CodeBadToken},
		"sub with line feed":        {hs(claims("sub", "a\nb")), CodeBadToken},
		"sub is a made id":          {hs(claims("sub", "ann~12345678")), CodeBadToken},
		"sub too long":              {hs(claims("sub", strings.Repeat("a", 65))), CodeBadToken},
		"no exp":                    {hs(claims("exp", nil)), CodeBadToken},
		"exp is null":               {raw(`{"iss":"key1","sub":"ann","room":"a","exp":null}`), CodeBadToken},
		"exp is a string":           {hs(claims("exp", fmt.Sprint(now.Add(time.Hour).Unix()))), CodeBadToken},
		"exp is huge":               {raw(`{"iss":"key1","sub":"ann","room":"a","exp":1e300}`), CodeBadToken},
		"exp is beyond numbers":     {raw(`{"iss":"key1","sub":"ann","room":"a","exp":1e999}`), CodeBadToken},
		"exp in ten years":          {hs(claims("exp", now.AddDate(10, 0, 0).Unix())), CodeBadToken},
		"nbf in the future":         {hs(claims("nbf", now.Add(time.Minute).Unix())), CodeBadToken},
		"wrong room":                {hs(claims("room", "b")), CodeBadToken},
		"no room":                   {hs(claims("room", nil)), CodeBadToken},
		"room prefix":               {hs(claims("room", "")), CodeBadToken},
		"grants is a string":        {hs(claims("grants", "admin")), CodeBadToken},
		"grant is a string":         {hs(claims("grants", map[string]any{"publish": "true"})), CodeBadToken},
		"claims are a list":         {raw(`[]`), CodeBadToken},
		"claims are null":           {raw(`null`), CodeBadToken},
		"claims twice, expired one": {raw(fmt.Sprintf(`{"iss":"key1","sub":"ann","room":"a","exp":%d,"exp":1}`, now.Add(time.Hour).Unix())), CodeTokenExpired},
		"not base64":                {"!." + parts[1] + "." + parts[2], CodeBadToken},
		"padding":                   {parts[0] + "=." + parts[1] + "." + parts[2], CodeBadToken},
		"two parts":                 {parts[0] + "." + parts[1], CodeBadToken},
		"four parts":                {good + ".x", CodeBadToken},
		"a million dots":            {strings.Repeat(".", 1e6), CodeBadToken},
		"good, but 2 KiB":           {hs(claims("pad", strings.Repeat("x", MaxTokenBytes))), CodeBadToken},
		"8 KiB":                     {strings.Repeat("a", 8192), CodeBadToken},
		"whitespace":                {" " + good, CodeBadToken},
	}
	v := newVerifier(map[string]string{testKey: testSecret, "key2": strings.Repeat("b", 40)})
	for name, c := range cases {
		_, _, err := v.verify(c.token, "a")
		var e *Error
		errors.As(err, &e)
		switch {
		case c.code == "" && err != nil:
			t.Errorf("%s: refused: %v", name, err)
		case c.code != "" && (e == nil || e.Code != c.code):
			t.Errorf("%s: got %v, want %s", name, err, c.code)
		case e != nil && (codeStatus(e.Code) != 401 || c.token != "" && strings.Contains(e.Message, c.token)):
			t.Errorf("%s: status %d, message %q", name, codeStatus(e.Code), e.Message)
		}
	}
}

// A token that the reader pays little for costs the server little.
func TestBadTokensAreCheap(t *testing.T) {
	v := newVerifier(map[string]string{testKey: testSecret})
	for name, token := range map[string]string{
		"dots": strings.Repeat(".", 60000), "long": strings.Repeat("a", 60000), "nested": base64.RawURLEncoding.EncodeToString(
			[]byte(strings.Repeat("[", 1500))) + ".e30.e30",
	} {
		const runs = 20
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			_, _, _ = v.verify(token, "a")
		}
		runtime.ReadMemStats(&after)
		if each := (after.TotalAlloc - before.TotalAlloc) / runs; each > 64<<10 {
			t.Errorf("%s: %d bytes", name, each)
		}
	}
}

// Tokens are checked wherever one joins, and nowhere looked for in a URL.
func TestTokensAtTheDoors(t *testing.T) {
	inBubble(t, withKeys, func(t *testing.T, h *harness) {
		good := h.token("ann", "a", full)
		expired, err := NewToken(testKey, testSecret, Token{Identity: "ann", Room: "a", Grants: full}, time.Minute, time.Now().Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name, path string
			auth       []string
			status     int
			code       Code
		}{
			{"none", "/whip/a", nil, 401, CodeBadToken},
			{"in the URL", "/whip/a?token=" + good + "&access_token=" + good, nil, 401, CodeBadToken},
			{"basic", "/whip/a", []string{"Authorization", "Basic " + good}, 401, CodeBadToken},
			{"two", "/whip/a", []string{"Authorization", "Bearer " + good, "Authorization", "Bearer " + good}, 401, CodeBadToken},
			{"expired", "/whip/a", []string{"Authorization", "Bearer " + expired}, 401, CodeTokenExpired},
			{"other room", "/whip/b", []string{"Authorization", "Bearer " + good}, 401, CodeBadToken},
			{"no publish", "/whip/a", []string{"Authorization", "Bearer " + h.token("l", "a", Grants{Subscribe: true})}, 403, CodeForbidden},
			{"no subscribe", "/whep/a", []string{"Authorization", "Bearer " + h.token("p", "a", Grants{Publish: true})}, 403, CodeForbidden},
			{"whip", "/whip/a", []string{"Authorization", "bearer " + good}, 201, ""},
			{"whep", "/whep/a", []string{"Authorization", "Bearer " + good}, 201, ""},
		} {
			res := h.post(c.path, offerSDP, c.auth...)
			if res.StatusCode != c.status || c.code != "" && !strings.Contains(text(res), `"`+string(c.code)+`"`) {
				t.Errorf("%s: %d %s, want %d %s", c.name, res.StatusCode, text(res), c.status, c.code)
			}
			if (res.StatusCode == 401) != strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s: %d with challenge %q", c.name, res.StatusCode, res.Header.Get("WWW-Authenticate"))
			}
		}
		for token, code := range map[string]Code{"": CodeBadToken, "x.y.z": CodeBadToken, expired: CodeTokenExpired,
			h.token("ann", "b", full): CodeBadToken} {
			p := h.dial()
			p.say(Join{Room: "a", Token: token})
			got, seen := p.closed()
			if f, _ := seen[0].(Failure); got != CloseByServer || f.Code != code {
				t.Errorf("/ws: %d %+v, want %s", got, seen, code)
			}
		}
		if res := h.request("GET", "/api/v1/ice", ""); res.StatusCode != 401 {
			t.Errorf("ice without token: %d", res.StatusCode)
		}
		res := h.request("GET", "/api/v1/ice", "", "Authorization", "Bearer "+good)
		if res.StatusCode != 200 || !strings.Contains(text(res), `"username":"1:ann"`) || !strings.Contains(text(res), `"ttl":300`) {
			t.Errorf("ice: %d %s", res.StatusCode, text(res))
		}
		// A token's name is the name.
		s, err := NewToken(testKey, testSecret, Token{Identity: "bob", Name: "Bob", Room: "a", Grants: full}, time.Hour, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		p := h.dial()
		p.say(Join{Room: "a", Name: "Mallory", Token: s})
		if j := hearAs[Joined](p); j.Name != "Bob" || j.Participant != "bob" {
			t.Errorf("%+v", j)
		}
	})
}

// On an open server a token is not looked at.
func TestOpenServerIgnoresTokens(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *harness) {
		if res := h.post("/whip/a?name=Bot", offerSDP, "Authorization", "Basic nonsense"); res.StatusCode != 201 {
			t.Errorf("%d %s", res.StatusCode, text(res))
		}
		p := h.dial()
		p.say(Join{Room: "a", Name: "x", Token: "nonsense"})
		if j := hearAs[Joined](p); len(j.Participants) != 2 {
			t.Errorf("%+v", j)
		}
		if got := h.rooms.called("join a Bot"); len(got) != 1 {
			t.Errorf("%v", h.rooms.called("join"))
		}
	})
}
