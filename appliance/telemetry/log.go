package telemetry

import (
	"io"
	"log/slog"
)

// NewLog returns a logger that writes records from level on to w. format is "text" or "json".
func NewLog(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
