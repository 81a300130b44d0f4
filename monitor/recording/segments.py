"""Recordings on disk: segment files of compressed blocks, numbered by run and place in it. Reading stops at the last whole block."""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

MAGIC = "marginwatch recording"
VERSION = 1

_NAME = re.compile(r"run-(\d{6})-(\d{6})\.mwrec")
_HEAD = struct.Struct(">II")
_LARGEST_BLOCK = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file: `number` counts the segments of a run from 1."""

    run: int
    number: int
    path: Path
    size: int = 0


def segments(directory: Path) -> list[Segment]:
    """The segments of a directory by run and number. OSError where it cannot be read."""
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if matched := _NAME.fullmatch(entry.name):
                found.append(Segment(int(matched[1]), int(matched[2]), Path(entry.path), entry.stat().st_size))
    return sorted(found)


def segment_path(directory: Path, run: int, number: int) -> Path:
    """Where a segment is kept."""
    return directory / f"run-{run:06d}-{number:06d}.mwrec"


def block(data: bytes) -> bytes:
    """Data as a block: length and checksum of what is compressed behind them."""
    packed = zlib.compress(data, 1)
    return _HEAD.pack(len(packed), zlib.crc32(packed)) + packed


def header_block(run: int, number: int, about: dict[str, Any]) -> bytes:
    """The first block of a segment."""
    return block(orjson.dumps({"magic": MAGIC, "version": VERSION, "run": run, "segment": number, **about}))


class Damaged(ValueError):
    """A file is no segment, or ends within a block. The text names the file."""


def read_header(path: Path) -> dict[str, Any]:
    """What a segment says of itself. Raises Damaged, OSError."""
    with path.open("rb") as file:
        data = _next_block(file, path)
    header: object = orjson.loads(data) if data is not None else None
    if not isinstance(header, dict) or header.get("magic") != MAGIC:
        raise Damaged(f"{path.name} is no recording of marginwatch")
    if header.get("version") != VERSION:
        raise Damaged(f"{path.name} was written in format {header.get('version')}, this program reads {VERSION}")
    return header


def read_blocks(path: Path) -> Iterator[bytes]:
    """The blocks of a segment behind its header. Raises Damaged at the first one that is not whole."""
    with path.open("rb") as file:
        _next_block(file, path)
        while (data := _next_block(file, path)) is not None:
            yield data


def _next_block(file: BinaryIO, path: Path) -> bytes | None:
    head = file.read(_HEAD.size)
    if not head:
        return None
    if len(head) == _HEAD.size:
        size, checksum = _HEAD.unpack(head)
        packed = file.read(size) if size <= _LARGEST_BLOCK else b""
        if len(packed) == size and zlib.crc32(packed) == checksum:
            try:
                return zlib.decompress(packed)
            except zlib.error:
                pass
    raise Damaged(f"{path.name} ends within a block")
