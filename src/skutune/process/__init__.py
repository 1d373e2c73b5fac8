"""What one process needs to live in a pod: a watchdog, progress, its last error, its devices, its peers."""
