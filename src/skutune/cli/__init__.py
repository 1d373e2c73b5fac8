"""The command line: the only place, with `worker.py`, that prints, reads the environment or picks exit codes.

Results go to stdout, everything else to stderr. Each command imports what it needs when it is called, so that
`skutune --help` stays fast.
"""

from skutune.cli.app import main

__all__ = ["main"]
