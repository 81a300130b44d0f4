"""What Prometheus reads: `docs/metrics.md` names it, `collector` puts it together."""
