"""Room of pullback."""
