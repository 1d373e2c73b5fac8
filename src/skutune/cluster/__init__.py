"""The controller: brings a run to its end on a Kubernetes cluster, one Indexed Job an attempt.

Level-based: it lists what is there, decides by pure functions, and applies. The store says what is done; Job and pod
status say what is under way; nothing that it must remember lives in its own memory.
"""
