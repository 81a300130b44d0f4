"""Fixtures every test may use: the recordings of the real venues, and the real servers of the end-to-end tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import settings

PROJECT = Path(__file__).resolve().parents[1]
IN_CI = os.environ.get("MARGINWATCH_CI") == "1"

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if IN_CI else "default")


def missing(reason: str, *, in_ci: bool = IN_CI) -> NoReturn:
    """Skip the test that lacks something outside the project; in CI, where nothing may be lacking, fail it."""
    if in_ci:
        pytest.fail(f"{reason} (CI may not skip this)", pytrace=False)
    pytest.skip(reason)


def recordings_directory(configured: str | None, *, in_ci: bool = IN_CI) -> Path:
    """The directory of the recordings: `configured`, else shared/fixtures beside the project."""
    directory = Path(configured) if configured else PROJECT.parent / "shared" / "fixtures"
    if not directory.is_dir():
        missing("no recordings of the venues here: set MARGINWATCH_RECORDINGS to their directory", in_ci=in_ci)
    return directory


def server_path(binary: str, *, in_ci: bool = IN_CI) -> Path:
    """The full path of an installed server or tool."""
    found = shutil.which(binary)
    if found is None:
        missing(f"{binary} is not installed: put it on the PATH", in_ci=in_ci)
    return Path(found)


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Directory of the recorded venue payloads, one folder a venue."""
    return recordings_directory(os.environ.get("MARGINWATCH_RECORDINGS"))


@pytest.fixture(scope="session")
def require_server() -> Callable[[str], Path]:
    """A function from the name of a server's binary to its path."""
    return server_path
