"""What may not stand in the files of the repository, judged on their text."""

from __future__ import annotations

import re

# Spelled in parts, so that this file does not break its own rule.
_MACHINE_ROOTS = ("work", "farm", "tmp", "home", "root", "Users")
_MACHINE_PATH = re.compile(rf"(?<![\w./*-])/(?:{'|'.join(_MACHINE_ROOTS)})/")
_PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[^\s;]+(?: ; [^#]+?)?(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})+)")


def machine_paths(text: str) -> list[str]:
    """Lines that name a path of one particular machine."""
    return [f"line {number}: {line.strip()}" for number, line in enumerate(text.splitlines(), 1) if _MACHINE_PATH.search(line)]


def unpinned_lines(text: str) -> list[str]:
    """Lines of a requirements file that are anything but `name==version` with sha256 hashes: options, addresses, ranges."""
    joined = text.replace("\\\n", " ")
    lines = (re.sub(r"\s+", " ", re.sub(r"(^|\s)#.*", "", line)).strip() for line in joined.splitlines())
    return [line for line in lines if line and not _PIN.fullmatch(line)]
