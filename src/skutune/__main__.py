"""`python -m skutune`: the same as the `skutune` command."""

from skutune.cli import main

main()
