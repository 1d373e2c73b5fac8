"""Fixtures and settings for every suite."""

from hypothesis import settings
from servers import rclone, seaweedfs, seaweedfs_reader

# A busy machine is no fault of the code; `make bench` tells times.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

__all__ = ["rclone", "seaweedfs", "seaweedfs_reader"]
