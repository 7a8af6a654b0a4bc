"""One platform for the tests here: it is busy as long as it runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .platform import Platform, platform


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform(tmp_path_factory.mktemp("platform")) as made:
        yield made
