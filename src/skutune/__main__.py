"""`python -m skutune`, equivalent to the command `skutune`."""

from skutune.cli import main

main()
