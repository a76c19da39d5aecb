"""Gradients as native code, from plain Python."""
