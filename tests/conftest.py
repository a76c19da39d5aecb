"""Half of the files test what is compiled quickly first, half what is compiled fully.

Few tests run a program often enough for its full code. Which half a file belongs to
follows from its name.
"""

from collections.abc import Iterator
from zlib import crc32

import pytest
from pullback.runtime import compile

OWN = {"test_tiers.py"}  # which say themselves what they want


@pytest.fixture(scope="module", autouse=True)
def full_code(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compile fully at once, in every other file."""
    name = request.path.name
    with pytest.MonkeyPatch.context() as patch:
        if name not in OWN and crc32(name.encode()) % 2:
            patch.setattr(compile, "is_quick", lambda: False)
        yield
