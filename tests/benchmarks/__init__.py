import os

from skutune.process.threads import wait_passively

wait_passively(os.environ)  # before a suite loads PyTorch, as the command does
