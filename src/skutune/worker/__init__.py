"""Runs one shard of one stage: read, run, write and count, on a laptop and in a pod alike."""
