"""One shard of one stage: read, run, write, count. The same on a laptop and in a pod."""
