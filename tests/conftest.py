"""Fixtures and settings for every suite."""

import os

from hypothesis import settings
from servers import rclone, seaweedfs, seaweedfs_reader

from skutune.process.threads import wait_passively

wait_passively(os.environ)  # before a test loads PyTorch

# A busy machine is no fault of the code; `make bench` tells times.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

__all__ = ["rclone", "seaweedfs", "seaweedfs_reader"]
