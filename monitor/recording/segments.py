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
_PACKED = zlib.compress(b"", 1)[:2]
_CONFIGURATION = ("settings", "environ", "files", "agents")


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
    """A file is no segment, or ends within a block. The text names the file. `is_cut`: all that is missing is its end."""

    def __init__(self, text: str, *, is_cut: bool = False) -> None:
        super().__init__(text)
        self.is_cut = is_cut


def read_header(path: Path) -> dict[str, Any]:
    """What a segment says of itself. Raises Damaged, OSError."""
    with path.open("rb") as file:
        data = _next_block(file, path)
    header = _loaded(data)
    if header.get("magic") != MAGIC:
        raise Damaged(f"{path.name} is no recording of marginwatch")
    if header.get("version") != VERSION:
        raise Damaged(f"{path.name} was written in format {header.get('version')}, this program reads {VERSION}")
    configuration = header.get("configuration")
    is_whole = isinstance(configuration, dict) and all(isinstance(configuration.get(name), dict) for name in _CONFIGURATION)
    if not is_whole or not all(isinstance(header.get(name), int) for name in ("seed", "ns", "ms")):
        raise Damaged(f"{path.name} lacks the configuration of its run")
    return header


def _loaded(data: bytes | None) -> dict[str, Any]:
    try:
        header = None if data is None else orjson.loads(data)
    except orjson.JSONDecodeError:
        header = None
    return header if isinstance(header, dict) else {}


def read_blocks(path: Path) -> Iterator[bytes]:
    """The blocks of a segment behind its header. Raises Damaged at the first one that is not whole."""
    with path.open("rb") as file:
        _next_block(file, path)
        while (data := _next_block(file, path)) is not None:
            yield data


def _next_block(file: BinaryIO, path: Path) -> bytes | None:
    at = file.tell()
    head = file.read(_HEAD.size)
    if not head:
        return None
    if len(head) == _HEAD.size:
        size, checksum = _HEAD.unpack(head)
        packed = file.read(size) if size <= _LARGEST_BLOCK else b""
        if len(packed) == size:
            data = _unpacked(packed, checksum)
            if data is None:
                raise Damaged(f"{path.name} holds a damaged block")
            return data
    file.seek(at + 1)
    if _holds_block(file.read()):
        raise Damaged(f"{path.name} holds a damaged block")
    raise Damaged(f"{path.name} ends within a block", is_cut=True)


def _unpacked(packed: bytes, checksum: int) -> bytes | None:
    if zlib.crc32(packed) != checksum:
        return None
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(packed, _LARGEST_BLOCK)
    except zlib.error:
        return None
    return data if unpacking.eof else None


def _holds_block(data: bytes) -> bool:
    # a length that was damaged looks like the end of a killed process, but for what stands behind it
    at = data.find(_PACKED, _HEAD.size)
    while at >= 0:
        size, checksum = _HEAD.unpack_from(data, at - _HEAD.size)
        if 0 < size <= len(data) - at and zlib.crc32(memoryview(data)[at : at + size]) == checksum:
            return True
        at = data.find(_PACKED, at + 1)
    return False
