"""Timing, tables and figures: what `run.py` and `publish.py` share."""
