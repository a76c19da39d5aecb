"""Passes: valid graph in, valid graph out, nothing changed in place."""
