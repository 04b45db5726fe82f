package signaling

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestDecodeRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		code Code
	}{
		"empty":                {"", CodeBadMessage},
		"not an object":        {`[]`, CodeBadMessage},
		"null":                 {`null`, CodeBadMessage},
		"string":               {`"join"`, CodeBadMessage},
		"unfinished":           {`{"type":"leave"`, CodeBadMessage},
		"trailing":             {`{"type":"leave"}{}`, CodeBadMessage},
		"trailing brace":       {`{"type":"leave"}}`, CodeBadMessage},
		"deep":                 {`{"type":` + strings.Repeat("[", 60000), CodeBadMessage},
		"deep in the middle":   {`{"type":"offer","sdp":` + strings.Repeat(`{"a":`, 10000), CodeBadMessage},
		"object as value":      {`{"type":"offer","sdp":{}}`, CodeBadMessage},
		"doubled":              {`{"type":"leave","type":"join"}`, CodeBadMessage},
		"doubled by escape":    {`{"type":"leave","\u0074ype":"join"}`, CodeBadMessage},
		"other case":           {`{"Type":"leave"}`, CodeBadMessage},
		"field in other case":  {`{"type":"offer","SDP":"v=0"}`, CodeBadMessage},
		"unknown field":        {`{"type":"leave","x":1}`, CodeBadMessage},
		"many fields":          {`{"type":"leave"` + strings.Repeat(`,"x":1`, 1) + repeat(20, func(i int) string { return `,"f` + string(rune('a'+i)) + `":1` }) + `}`, CodeBadMessage},
		"invalid UTF-8":        {"{\"type\":\"chat\",\"text\":\"\xff\"}", CodeBadMessage},
		"type is a number":     {`{"type":1}`, CodeBadMessage},
		"type is null":         {`{"type":null}`, CodeBadMessage},
		"unknown type":         {`{"type":"joined"}`, CodeUnknownType},
		"join without room":    {`{"type":"join","name":"x"}`, CodeBadMessage},
		"join without name":    {`{"type":"join","room":"x"}`, CodeBadMessage},
		"room is null":         {`{"type":"join","room":null,"name":"x"}`, CodeBadMessage},
		"token is a number":    {`{"type":"join","room":"x","name":"x","token":1}`, CodeBadMessage},
		"resume is true":       {`{"type":"join","room":"x","name":"x","resume":true}`, CodeBadMessage},
		"answer without sdp":   {`{"type":"answer"}`, CodeBadMessage},
		"muted missing":        {`{"type":"mute"}`, CodeBadMessage},
		"muted null":           {`{"type":"mute","muted":null}`, CodeBadMessage},
		"t missing":            {`{"type":"ping"}`, CodeBadMessage},
		"t is a string":        {`{"type":"ping","t":"1"}`, CodeBadMessage},
		"t is huge":            {`{"type":"ping","t":1e999}`, CodeBadMessage},
		"index is a fraction":  {`{"type":"candidate","candidate":"","sdpMLineIndex":0.5}`, CodeBadMessage},
		"index is negative":    {`{"type":"candidate","candidate":"","sdpMLineIndex":-1}`, CodeBadMessage},
		"index is large":       {`{"type":"candidate","candidate":"","sdpMLineIndex":65536}`, CodeBadMessage},
		"candidate is a flag":  {`{"type":"candidate","candidate":true}`, CodeBadMessage},
		"candidate is long":    {`{"type":"candidate","candidate":"` + strings.Repeat("x", 1025) + `"}`, CodeBadCandidate},
		"candidate of 2 lines": {`{"type":"candidate","candidate":"a\nb"}`, CodeBadCandidate},
		"mid is long":          {`{"type":"candidate","candidate":"","sdpMid":"` + strings.Repeat("x", 257) + `"}`, CodeBadMessage},
		"chat is empty":        {`{"type":"chat","text":""}`, CodeBadMessage},
		"chat is long":         {`{"type":"chat","text":"` + strings.Repeat("x", 2001) + `"}`, CodeBadMessage},
		"chat with escape":     {`{"type":"chat","text":"\u001b[2J"}`, CodeBadMessage},
	} {
		m, _, err := DecodeClient([]byte(c.in))
		var e *Error
		if !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%s: %v %v, want %s", name, m, err, c.code)
		}
	}
}

// Hostile JSON is refused at the first sign; what it costs does not grow with what follows.
func TestHostileJSONIsCheap(t *testing.T) {
	for name, in := range map[string]string{
		"deep":   `{"type":` + strings.Repeat("[", 60000),
		"fields": `{` + strings.Repeat(`"a":1,`, 10000) + `"b":1}`,
	} {
		if n := testing.AllocsPerRun(5, func() { _, _, _ = DecodeClient([]byte(in)) }); n > 100 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestRoomAndName(t *testing.T) {
	for room, ok := range map[string]bool{
		"a": true, "Küche-2_b.c": true, "部屋": true, "कमरा": true, strings.Repeat("ä", 64): true,
		"": false, ".a": false, "..": false, "a b": false, "a/b": false, "a\x00": false, "a\n": false, "<b>": false, "a~b": false,
		strings.Repeat("a", 65): false, "\xff": false, "a\u202e": false, "\u0301a": false, "😀": false,
	} {
		if err := CheckRoom(room); (err == nil) != ok {
			t.Errorf("room %q: %v", room, err)
		}
	}
	for name, want := range map[string]string{
		"": "Guest", "   ": "Guest", " Ann ": "Ann", "Ann Lee": "Ann Lee", "<script>": "<script>", "👩\u200d👩\u200d👧": "👩\u200d👩\u200d👧", strings.Repeat("é", 64): strings.Repeat("é", 64),
		"a\nb": "!", "a\u202eb": "!", "\x1b[2J": "!", strings.Repeat("a", 65): "!", "\xff": "!", "\u200d": "!", "\u0301": "!", "a\u00a0b": "!",
	} {
		got, err := CleanName(name)
		if want == "!" && err == nil || want != "!" && (err != nil || got != want) {
			t.Errorf("name %q: %q %v, want %q", name, got, err, want)
		}
	}
}

func FuzzDecodeClient(f *testing.F) {
	for _, s := range []string{
		`{"type":"join","room":"kitchen","name":"Ann","token":"x","resume":"y"}`, `{"type":"offer","sdp":"v=0\r\n"}`, `{"type":"ping","t":1e3}`,
		`{"type":"candidate","candidate":"candidate:1","sdpMid":null,"sdpMLineIndex":0,"usernameFragment":"abcd"}`, `{"type":"mute","muted":true}`,
		`{"type":"chat","text":"\u00e9"}`, `{"type":"leave"}`, `[[[[`, `{"a":{"a":`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, kind, err := DecodeClient(data)
		if err != nil {
			if p := statusOf(err); p.status != 400 {
				t.Errorf("%v: %+v", err, p)
			}
			return
		}
		if m.MessageType() != kind {
			t.Errorf("%T for type %q", m, kind)
		}
		// What was understood can be said again and means the same.
		again, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		m2, _, err := DecodeClient(again)
		if err != nil || !reflect.DeepEqual(m, m2) {
			t.Errorf("%s became %s: %v", data, again, err)
		}
		if !json.Valid(again) {
			t.Errorf("%s", again)
		}
	})
}
