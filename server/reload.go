package server

import (
	"context"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"lb/admin"
	"lb/config"
)

// Reload reads the configuration again and goes over to it. On an error nothing has changed. The
// diagnostics hold warnings too.
func (s *Server) Reload(context.Context) (string, error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if err := s.settled(); err != nil {
		s.log.Error("reload refused", "error", err)
		return err.Error(), err
	}
	s.notifyReloading()
	defer s.notify(daemon.SdNotifyReady)
	cfg, diags := s.opt.Load()
	if diags.HasErrors() {
		err := &Diagnosed{diags}
		s.log.Error("reload refused, the configuration in force stays", "error", diags.String())
		s.reloads.failed.Inc()
		s.reloaded(err, diags)
		return diags.String(), err
	}
	if err := s.apply(cfg); err != nil {
		s.log.Error("reload failed, the configuration in force stays", "error", err)
		s.reloads.failed.Inc()
		s.reloaded(err, diags)
		return strings.TrimPrefix(diags.String()+"\n"+err.Error(), "\n"), err
	}
	diags = append(diags, s.fixed(cfg)...)
	s.logWarnings(diags)
	s.log.Info("configuration reloaded")
	s.reloaded(nil, diags)
	s.reloads.succeeded.Inc()
	return diags.String(), nil
}

// apply goes over to a configuration: everything that can fail comes before anything changes.
func (s *Server) apply(cfg *config.Config) error {
	gen, err := s.build(cfg)
	if err != nil {
		return err
	}
	if err := s.prepareAdmin(cfg, gen); err != nil {
		gen.discard()
		return err
	}
	if err := s.front.Apply(gen.front); err != nil {
		gen.discard()
		return s.bindErrors(cfg, err)
	}
	s.commit(gen)
	return nil
}

// logWarnings logs what is hardly meant in a configuration that is used.
func (s *Server) logWarnings(diags config.Diagnostics) {
	for _, d := range diags {
		s.log.Warn(d.Summary, "at", d.Pos.String())
	}
}

// fixed returns what a reload cannot change.
func (s *Server) fixed(cfg *config.Config) config.Diagnostics {
	if cfg.Log.Format == s.logConfig.Format && cfg.Log.File == s.logConfig.File {
		return nil
	}
	return config.Diagnostics{{
		Severity: config.Warning, Pos: cfg.Log.Pos,
		Summary: "the log's format and file stay as they are until the next start", Detail: "Restart lb, or undo the change.",
	}}
}

// reloaded notes how a reload, or the start, ended, and what was found in the configuration.
func (s *Server) reloaded(err error, diags config.Diagnostics) {
	result, message := "success", ""
	if err != nil {
		result, message = "failure", err.Error()
	}
	r := &admin.Reload{Time: time.Now(), OK: err == nil, Error: message, Diagnostics: shown(diags)}
	s.lastReload.Store(r)
	s.scope.Gauge("lb_config_last_reload_timestamp_seconds",
		func() float64 { return float64(r.Time.UnixMilli()) / 1e3 }, "result", result)
	s.events.Publish("reload", *r)
}

// shown returns diagnostics as the status shows them.
func shown(diags config.Diagnostics) []admin.Diagnostic {
	var out []admin.Diagnostic
	for _, d := range diags {
		out = append(out, admin.Diagnostic{
			Severity: d.Severity.String(), File: d.Pos.File, Line: d.Pos.Line, Column: d.Pos.Column,
			Summary: d.Summary, Detail: d.Detail, Source: d.Source,
		})
	}
	return out
}
