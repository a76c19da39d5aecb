"""Hash the content of graphs and arrays, without loading a hash when nobody asks."""

from collections.abc import Iterable


def sha256_hex(parts: Iterable[bytes]) -> str:
    """Return the SHA-256 of the parts one after the other, as hex."""
    import hashlib  # lazy: its start costs more than all records

    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
