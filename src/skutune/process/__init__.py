"""Process-level services: watchdog, progress reports, error logs, accelerators, and launching distributed training."""
