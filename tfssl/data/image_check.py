"""Is this file an image that can be decoded? Answered from its first and last bytes.

Decoding a million files before every run would take too long. Both ends of a file show what goes
wrong in practice: it is no image, it is empty, or its end is missing.
"""

import contextlib
import os
import struct
from typing import BinaryIO, Iterator, Optional

import tensorflow as tf

from tfssl.data.image_bytes import decode_rgb

_TAIL = 1 << 16  # Cameras and web servers append up to some kilobytes after the end marker.
# Start-of-frame markers of JPEG; 0xC4, 0xC8 and 0xCC in their range mean something else.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BMP_PLAIN, _BMP_BITFIELDS = 0, 3


class DamagedImage(ValueError):
    """An image that passed the check of its ends does not decode."""


@contextlib.contextmanager
def damage_explained() -> Iterator[None]:
    """Turns the error of a decoder, anywhere in a program of TensorFlow, into a DamagedImage."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if "decode" not in str(error).lower():
            raise
        reason = error.message.splitlines()[0].rpartition("}} ")[2]
        raise DamagedImage(
            "expected images that can be decoded. Received: one with the ends of an image, but not "
            f"the middle ({reason[:200]}). Remedy: for a folder, "
            "--verify_images=full, in another --run_dir, names such files and leaves them out."
        ) from error


def why_bad(path: str, verify: str = "header") -> Optional[str]:
    """Why a file cannot be used as an image.

    Args:
        path: the file.
        verify: `header` looks at the magic number, the size in pixels and the end marker; `full`
            also decodes the image.

    Returns:
        The reason in a few words, or None for a good JPEG, PNG, BMP or GIF.
    """
    try:
        with open(path, "rb") as file:
            reason = _why_bad_header(file, os.fstat(file.fileno()).st_size)
            if reason is None and verify == "full":
                file.seek(0)
                decode_rgb(file.read())
    except OSError as error:
        return error.strerror or "unreadable"
    except tf.errors.OpError:
        return "does not decode"
    except (struct.error, IndexError):
        return "truncated header"
    return reason


def _why_bad_header(file: BinaryIO, size: int) -> Optional[str]:
    """The reason by format, see `why_bad`."""
    head = file.read(64)
    if not head:
        return "empty file"
    if head.startswith(b"\xff\xd8\xff"):
        return _why_bad_jpeg(file, size)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = struct.unpack(">II", head[16:24])
        ended = b"IEND\xaeB`\x82" in _tail(file, size, 24)
        return _first((head[12:16] != b"IHDR" or not width * height, "no size"), (not ended, "cut"))
    if head[:6] in (b"GIF87a", b"GIF89a"):
        width, height = struct.unpack("<HH", head[6:10])
        ended = _tail(file, size, 13).rstrip(b"\0").endswith(b";")
        return _first((not width * height, "no size"), (not ended, "cut"))
    if head.startswith(b"BM"):
        return _why_bad_bmp(file, size, head)
    return "not a JPEG, PNG, BMP or GIF"


def _first(*cases) -> Optional[str]:
    """The reason of the first case that holds, in full words."""
    words = {"no size": "no size in its header", "cut": "truncated: no end marker"}
    return next((words[reason] for bad, reason in cases if bad), None)


def _tail(file: BinaryIO, size: int, start: int) -> bytes:
    """The last bytes of the file, from `start` on at the earliest."""
    file.seek(max(start, size - _TAIL))
    return file.read()


def _why_bad_jpeg(file: BinaryIO, size: int) -> Optional[str]:
    """Walks the segments to the pixel data and looks for the end marker behind it."""
    position, pixels = 2, 0
    while True:
        file.seek(position)
        segment = file.read(9)
        if segment[0] != 0xFF:
            return "broken header"
        marker = segment[1]
        if marker == 0xFF:  # A fill byte before a marker.
            position += 1
            continue
        (length,) = struct.unpack(">H", segment[2:4])
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", segment[5:9])
            pixels = height * width
        position += 2 + length
        if marker == 0xDA:  # Start of scan: from here on, FF D9 can only be the end marker.
            break
    return _first((not pixels, "no size"), (b"\xff\xd9" not in _tail(file, size, position), "cut"))


def _why_bad_bmp(file: BinaryIO, size: int, head: bytes) -> Optional[str]:
    """TensorFlow reads 24 and 32 bits a pixel, and 8 bits where the palette is the grey ramp."""
    pixels_at, header_size, width, height = struct.unpack("<IIii", head[10:26])
    bits, compression = struct.unpack("<HI", head[28:34])
    if header_size < 40 or not width * height:
        return "no size in its header"
    masks = struct.unpack("<III", head[54:66]) if compression == _BMP_BITFIELDS else None
    plain = compression == _BMP_PLAIN or (bits == 32 and masks == (0xFF0000, 0xFF00, 0xFF))
    if bits not in (8, 24, 32) or not plain:
        return f"a BMP of {bits} bits a pixel with compression {compression}"
    if bits == 8:
        file.seek(14 + header_size)
        palette = file.read(pixels_at - 14 - header_size)
        ramp = b"".join(bytes((level, level, level)) for level in range(len(palette) // 4))
        colours = b"".join(palette[i : i + 3] for i in range(0, len(palette), 4))
        if colours != ramp:
            return "a BMP with a colour palette"
    row = (width * bits + 31) // 32 * 4
    return _first((size < pixels_at + row * abs(height), "cut"))
