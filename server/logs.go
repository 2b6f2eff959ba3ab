package server

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"

	"lb/config"
	"lb/telemetry"
)

// accessLogRun is an access log with what ends it.
type accessLogRun struct {
	config config.AccessLog
	log    *telemetry.AccessLog
	cancel context.CancelFunc // nil: not started
}

// buildAccessLog takes the log there is, if its settings stay, or opens a new one.
func (s *Server) buildAccessLog(cfg *config.Config, g *generation) error {
	c := cfg.AccessLog
	if c.Format == "off" {
		return nil
	}
	if old := s.current.Load(); old != nil && old.accessLog != nil && sameAccessLog(old.accessLog.config, c) {
		g.accessLog = old.accessLog
	} else {
		log, err := telemetry.NewAccessLog(telemetry.AccessLogOptions{
			Format: c.Format, File: c.File, Sample: c.Sample,
			Dropped: s.scope.Counter("lb_access_log_dropped_total"), Log: s.log.Named("access-log"),
		})
		if err != nil {
			return at(c.Pos, "cannot open the access log", err)
		}
		g.accessLog = &accessLogRun{config: c, log: log}
		g.undo = append(g.undo, func() {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			log.Start(ctx) // an ended one closes the file
			_ = log.Wait()
		})
	}
	g.state.AccessLog = g.accessLog.log
	return nil
}

func sameAccessLog(a, b config.AccessLog) bool {
	return a.Format == b.Format && a.File == b.File && a.Sample == b.Sample
}

func (s *Server) startAccessLog(g *generation) {
	if run := g.accessLog; run != nil && run.cancel == nil {
		var ctx context.Context
		ctx, run.cancel = context.WithCancel(s.background)
		run.log.Start(ctx)
	}
}

// retireAccessLog ends a log that a reload replaced, when the requests that began
// before have had time to be logged there.
func (s *Server) retireAccessLog(run *accessLogRun) {
	s.goRun(func() {
		late := time.NewTimer(5 * time.Second)
		defer late.Stop()
		select {
		case <-late.C:
		case <-s.background.Done():
		}
		run.cancel()
		_ = run.log.Wait()
	})
}

func level(name string) hclog.Level { return hclog.LevelFromString(name) }
