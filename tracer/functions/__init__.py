"""NumPy's functions over Values, for decorated functions and tapes alike."""
