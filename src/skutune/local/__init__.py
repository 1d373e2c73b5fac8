"""Runs the pipeline on one machine."""
