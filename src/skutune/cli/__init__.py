"""The command line: the only package that prints, reads the environment and sets exit codes.

Results go to stdout, everything else to stderr. Commands import their dependencies lazily, so that `skutune --help`
stays fast.
"""

from skutune.cli.app import main

__all__ = ["main"]
