"""Fixtures that every suite may use."""

from servers import rclone, seaweedfs, seaweedfs_reader

__all__ = ["rclone", "seaweedfs", "seaweedfs_reader"]
