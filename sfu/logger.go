package sfu

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/logging"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	pionLogEvery = time.Second // one line of each level and scope
	pionLogLine  = 2048        // bytes
)

// pionLoggers gives pion's parts loggers that write to zap. What pion calls an error is a warning to us, its warnings
// and infos are debug lines (a stranger's packet can cause them), the rest is not written. At most one line per
// second, scope and level on the whole node; what was held back is counted in the next line.
type pionLoggers struct {
	log *zap.Logger

	mu     sync.Mutex
	scopes map[string]*pionLogger
}

func (f *pionLoggers) NewLogger(scope string) logging.LeveledLogger {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.scopes[scope]
	if !ok {
		if f.scopes == nil {
			f.scopes = make(map[string]*pionLogger)
		}
		l = &pionLogger{log: f.log, scope: scope, start: time.Now()}
		f.scopes[scope] = l
	}
	return l
}

type pionLogger struct {
	log   *zap.Logger
	scope string
	start time.Time
	lines [3]pionLine // error, warn, info
}

type pionLine struct {
	next       atomic.Int64 // since start
	suppressed atomic.Uint64
}

const (
	lineError = iota
	lineWarn
	lineInfo
)

func (l *pionLogger) write(line int, level zapcore.Level, text func() string) {
	if !l.log.Core().Enabled(level) {
		return
	}
	now := int64(time.Since(l.start))
	state := &l.lines[line]
	next := state.next.Load()
	if now < next || !state.next.CompareAndSwap(next, now+int64(pionLogEvery)) {
		state.suppressed.Add(1)
		return
	}
	s := text()
	if len(s) > pionLogLine {
		s = s[:pionLogLine]
	}
	l.log.Log(level, "pion", zap.String("scope", l.scope), zap.String("text", s),
		zap.Uint64("suppressed", state.suppressed.Swap(0)))
}

func (l *pionLogger) Trace(string)          {}
func (l *pionLogger) Tracef(string, ...any) {}
func (l *pionLogger) Debug(string)          {}
func (l *pionLogger) Debugf(string, ...any) {}

func (l *pionLogger) Info(msg string) {
	l.write(lineInfo, zapcore.DebugLevel, func() string { return msg })
}

func (l *pionLogger) Infof(format string, args ...any) {
	l.write(lineInfo, zapcore.DebugLevel, func() string { return fmt.Sprintf(format, args...) })
}

func (l *pionLogger) Warn(msg string) {
	l.write(lineWarn, zapcore.DebugLevel, func() string { return msg })
}

func (l *pionLogger) Warnf(format string, args ...any) {
	l.write(lineWarn, zapcore.DebugLevel, func() string { return fmt.Sprintf(format, args...) })
}

func (l *pionLogger) Error(msg string) {
	l.write(lineError, zapcore.WarnLevel, func() string { return msg })
}

func (l *pionLogger) Errorf(format string, args ...any) {
	l.write(lineError, zapcore.WarnLevel, func() string { return fmt.Sprintf(format, args...) })
}
