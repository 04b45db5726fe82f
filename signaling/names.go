package signaling

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckRoom says whether room is a room's name: 1 to MaxRoomName characters, letters and digits of any script (with
// their marks), '-', '_' and '.', not starting with '.'. The error has CodeBadRoom.
func CheckRoom(room string) error {
	if room == "" || !utf8.ValidString(room) || utf8.RuneCountInString(room) > MaxRoomName {
		return refuse(CodeBadRoom, "a room's name has 1 to %d characters", MaxRoomName)
	}
	if room[0] == '.' {
		return refuse(CodeBadRoom, "a room's name does not start with a dot")
	}
	for i, r := range room {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_', r == '.':
		case unicode.IsMark(r) && i > 0: // many scripts write vowels as marks
		default:
			return refuse(CodeBadRoom, "a room's name has letters, digits, '-', '_' and '.' only")
		}
	}
	return nil
}

// CleanName returns a participant's display name without outer space, "Guest" when nothing is left of it, or an error
// with CodeBadName when it is longer than MaxName characters or holds something that is not printed. The joiners that
// emoji and some scripts need are let through; controls that reorder text are not.
func CleanName(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", refuse(CodeBadName, "the name is not UTF-8")
	}
	name = strings.TrimSpace(name)
	if name == "" {
		return "Guest", nil
	}
	if utf8.RuneCountInString(name) > MaxName {
		return "", refuse(CodeBadName, "a name has at most %d characters", MaxName)
	}
	visible := false
	for _, r := range name {
		if r == '\u200c' || r == '\u200d' { // zero width (non-)joiner
			continue
		}
		if !unicode.IsPrint(r) {
			return "", refuse(CodeBadName, "the name has characters that are not printed")
		}
		visible = visible || !unicode.IsMark(r)
	}
	if !visible {
		return "", refuse(CodeBadName, "the name has nothing to see")
	}
	return name, nil
}

// checkChat says whether text may go to a room: 1 to MaxChat characters, no controls but newline and tab.
func checkChat(text string) error {
	if strings.TrimSpace(text) == "" || utf8.RuneCountInString(text) > MaxChat {
		return refuse(CodeBadMessage, "a chat text has 1 to %d characters", MaxChat)
	}
	for _, r := range text {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return refuse(CodeBadMessage, "a chat text has no control characters")
		}
	}
	return nil
}

// checkIdentity says whether a token's subject can be a participant's id: printable ASCII without space, and without
// '~', which marks ids that the server made from an identity. "self" and "server" mean something else in the message mute.
func checkIdentity(id string) bool {
	if id == "" || len(id) > maxIdentity || id == "self" || id == "server" {
		return false
	}
	for i := 0; i < len(id); i++ {
		if id[i] <= ' ' || id[i] >= 0x7f || id[i] == '~' {
			return false
		}
	}
	return true
}
