package signaling

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Token is what a JWT says about a participant.
type Token struct {
	Identity string // claim sub: 1 to 64 printable ASCII characters without space and '~'
	Name     string // claim name; "": the participant chooses
	Room     string // claim room; the one room it is good for
	Grants   Grants // claim grants
}

// Grants are the rights of a participant. What is not there is not granted.
type Grants struct {
	Publish   bool `json:"publish,omitempty"`
	Subscribe bool `json:"subscribe,omitempty"`
	Admin     bool `json:"admin,omitempty"`
	Record    bool `json:"record,omitempty"`
}

// NewToken signs a token with HS256: iss is the API key, and secret its secret. It is good from now for ttl, at most
// MaxTokenLife. It refuses what the server would refuse.
func NewToken(key, secret string, t Token, ttl time.Duration, now time.Time) (string, error) {
	if err := checkKey(key, secret); err != nil {
		return "", err
	}
	if !checkIdentity(t.Identity) {
		return "", fmt.Errorf("new token: an identity has 1 to %d printable ASCII characters without space and '~'", maxIdentity)
	}
	if err := CheckRoom(t.Room); err != nil {
		return "", fmt.Errorf("new token: %w", err)
	}
	if _, err := CleanName(t.Name); err != nil {
		return "", fmt.Errorf("new token: %w", err)
	}
	if !t.Grants.Publish && !t.Grants.Subscribe {
		return "", errors.New("new token: it grants neither publish nor subscribe")
	}
	if ttl < time.Second || ttl > MaxTokenLife {
		return "", fmt.Errorf("new token: life is 1s to %v", MaxTokenLife)
	}
	c := claims{
		Issuer: key, Subject: t.Identity, Name: t.Name, Room: t.Room, Grants: t.Grants,
		Expires: unix(now.Add(ttl)), NotBefore: unix(now), IssuedAt: unix(now),
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, &c).SignedString([]byte(secret))
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return signed, nil
}

// checkKey says whether an API key and its secret can be used.
func checkKey(key, secret string) error {
	if key == "" {
		return errors.New("the API key is empty")
	}
	if len(secret) < MinSecretBytes {
		return fmt.Errorf("the secret of API key %q has %d bytes, it needs %d or more", key, len(secret), MinSecretBytes)
	}
	return nil
}

// claims is the payload of our tokens. Dates are numbers and nothing else (RFC 7519 section 2, NumericDate).
type claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Name      string   `json:"name,omitempty"`
	Room      string   `json:"room"`
	Grants    Grants   `json:"grants"`
	Expires   *float64 `json:"exp,omitempty"`
	NotBefore *float64 `json:"nbf,omitempty"`
	IssuedAt  *float64 `json:"iat,omitempty"`
}

func unix(t time.Time) *float64 {
	s := float64(t.Unix())
	return &s
}

// date bounds a NumericDate to years that time.Time can compute with.
func date(seconds *float64) (*jwt.NumericDate, error) {
	if seconds == nil {
		return nil, nil
	}
	if math.Abs(*seconds) > 1e11 { // year 5138
		return nil, jwt.ErrInvalidType
	}
	return &jwt.NumericDate{Time: time.UnixMilli(int64(*seconds * 1e3))}, nil
}

func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return date(c.Expires) }
func (c *claims) GetNotBefore() (*jwt.NumericDate, error)      { return date(c.NotBefore) }
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error)       { return date(c.IssuedAt) }
func (c *claims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *claims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error)       { return nil, nil }

// verifier checks tokens against the configured keys.
type verifier struct {
	keys   map[string]string
	parser *jwt.Parser
}

func newVerifier(keys map[string]string) *verifier {
	return &verifier{keys, jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(tokenLeeway),
		jwt.WithStrictDecoding(),
	)}
}

// verify checks a token for a room. The method is fixed, and which secret it must be signed with follows from iss
// alone; a kid, jwk or any other header is not looked at. The key it was signed with is returned too: identities of
// different keys are different. Errors are *Error with CodeTokenExpired or CodeBadToken, and tell nothing else.
func (v *verifier) verify(token, room string) (Token, string, error) {
	if token == "" {
		return Token{}, "", refuse(CodeBadToken, "a token is needed")
	}
	bad := refuse(CodeBadToken, "the token is not valid")
	if len(token) > MaxTokenBytes {
		return Token{}, "", bad
	}
	var c claims
	_, err := v.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) {
		secret, ok := v.keys[c.Issuer]
		if !ok {
			return nil, jwt.ErrTokenInvalidIssuer
		}
		return []byte(secret), nil
	})
	// Expiry is only told about tokens that are otherwise ours: the parser checks the signature first, but joins the
	// errors of all claims.
	if errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, jwt.ErrTokenNotValidYet) {
		return Token{}, "", refuse(CodeTokenExpired, "the token has expired")
	}
	if err != nil || c.Expires == nil {
		return Token{}, "", bad
	}
	if *c.Expires > float64(time.Now().Add(MaxTokenLife+tokenLeeway).Unix()) {
		return Token{}, "", refuse(CodeBadToken, "the token's exp is more than %v away", MaxTokenLife)
	}
	if !checkIdentity(c.Subject) {
		return Token{}, "", refuse(CodeBadToken, "the token's sub is missing or not usable")
	}
	if c.Room == "" || c.Room != room {
		return Token{}, "", refuse(CodeBadToken, "the token is for another room")
	}
	return Token{Identity: c.Subject, Name: c.Name, Room: c.Room, Grants: c.Grants}, c.Issuer, nil
}

// verifyAnyRoom is verify for requests that name no room.
func (v *verifier) verifyAnyRoom(token string) (Token, string, error) {
	var c claims
	if parts := len(token); parts == 0 || parts > MaxTokenBytes {
		return v.verify(token, "")
	}
	if _, _, err := v.parser.ParseUnverified(token, &c); err != nil {
		return Token{}, "", refuse(CodeBadToken, "the token is not valid")
	}
	return v.verify(token, c.Room)
}
