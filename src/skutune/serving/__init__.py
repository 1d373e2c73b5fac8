"""Uses a finished run: generates answers, links names and explains the provenance of rows."""
