package certificate

import (
	"fmt"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapLogger returns a logger for certmagic that writes to ours. certmagic logs much that only its developers need, so that all
// is a level lower than there.
func zapLogger(log hclog.Logger) *zap.Logger { return zap.New(&zapCore{log: log}) }

type zapCore struct {
	log    hclog.Logger
	fields []zapcore.Field
}

func levelOf(l zapcore.Level) hclog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return hclog.Warn
	case l >= zapcore.InfoLevel:
		return hclog.Debug
	}
	return hclog.Trace
}

func (c *zapCore) Enabled(l zapcore.Level) bool { return c.log.GetLevel() <= levelOf(l) }

func (c *zapCore) With(fields []zapcore.Field) zapcore.Core {
	return &zapCore{c.log, append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

func (c *zapCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if e.Message == "will retry" { // it will not: see ACME.obtain
		return checked
	}
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

func (c *zapCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	encoder := zapcore.NewMapObjectEncoder()
	var args []any
	for _, f := range append(c.fields[:len(c.fields):len(c.fields)], fields...) {
		f.AddTo(encoder)
		args = append(args, f.Key, fmt.Sprint(encoder.Fields[f.Key]))
	}
	c.log.Log(levelOf(e.Level), e.Message, args...)
	return nil
}

func (c *zapCore) Sync() error { return nil }
