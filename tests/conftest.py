"""Fixtures and settings for all test suites."""

from hypothesis import settings
from servers import rclone, seaweedfs, seaweedfs_reader

# Deadlines would fail on a busy machine; `make bench` measures time.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

__all__ = ["rclone", "seaweedfs", "seaweedfs_reader"]
