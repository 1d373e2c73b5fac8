"""Fixtures and settings for all test suites."""

import os

from hypothesis import settings
from servers import rclone, seaweedfs, seaweedfs_reader

from skutune.process.threads import wait_passively

wait_passively(os.environ)  # before a test loads PyTorch

# Deadlines would fail on a busy machine; `make bench` measures time.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

__all__ = ["rclone", "seaweedfs", "seaweedfs_reader"]
