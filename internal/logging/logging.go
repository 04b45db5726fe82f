// Package logging makes the process's logger. It keeps no global logger and redirects nothing.
package logging

import (
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Lines with the same level and message: the first of each second are written, then one in every hundred. Parts count
// per-packet trouble themselves; this is the net below them.
const (
	samplePeriod     = time.Second
	sampleFirst      = 100
	sampleThereafter = 100
)

// New makes a logger that writes to w. level is debug, info, warn or error; format is console (for people) or json.
func New(level, format string, w io.Writer) (*zap.Logger, error) {
	min, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	var encoder zapcore.Encoder
	switch format {
	case "json":
		c := zap.NewProductionEncoderConfig()
		c.TimeKey = "time"
		c.EncodeTime = zapcore.RFC3339NanoTimeEncoder
		c.EncodeDuration = zapcore.StringDurationEncoder
		encoder = zapcore.NewJSONEncoder(c)
	case "console":
		c := zap.NewDevelopmentEncoderConfig()
		c.EncodeTime = zapcore.TimeEncoderOfLayout("2006-01-02 15:04:05.000")
		c.EncodeLevel = zapcore.LowercaseLevelEncoder
		c.ConsoleSeparator = "  "
		c.CallerKey = zapcore.OmitKey
		encoder = zapcore.NewConsoleEncoder(c)
	default:
		return nil, fmt.Errorf("log format %q is neither console nor json", format)
	}
	core := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), min)
	return zap.New(zapcore.NewSamplerWithOptions(core, samplePeriod, sampleFirst, sampleThereafter)), nil
}
