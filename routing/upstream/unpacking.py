"""Unpacks a body that was sent compressed although nobody asked for that: gzip and deflate; nothing else is known."""

import zlib

PIECE_BYTES_MAX = 64 * 1024
"""What is handed out at once: a megabyte that unpacks to a gigabyte is met piece by piece, and by its reader's bound."""
KNOWN = frozenset({"gzip", "x-gzip", "deflate"})
HEADED = zlib.MAX_WBITS | 32  # a gzip's head, or a zlib's
RAW = -zlib.MAX_WBITS


class Unpacker:
    """``feed`` what came, ``take`` until nothing comes out, ``end`` at the end; ValueError says that it is broken."""

    __slots__ = ("_coding", "_has_begun", "_inner", "_is_full", "_waiting")

    def __init__(self, coding: str) -> None:
        self._coding = coding.strip().lower()
        self._inner = zlib.decompressobj(HEADED)
        self._waiting = b""
        self._has_begun = False
        self._is_full = False

    def feed(self, data: bytes) -> None:
        """What came.

        Raises:
            ValueError: its coding is not known.
        """
        if self._coding not in KNOWN:
            raise ValueError("its coding was not asked for, and is not known")
        self._waiting += data

    def take(self) -> bytes:
        """What can be unpacked, up to PIECE_BYTES_MAX; empty when more is needed.

        Raises:
            ValueError: it is no such packing.
        """
        while self._waiting or self._is_full:
            piece = self._unpack()
            self._is_full = len(piece) == PIECE_BYTES_MAX
            self._waiting = self._inner.unconsumed_tail
            if self._inner.eof and self._inner.unused_data:  # a gzip may have several members
                self._waiting, self._inner = self._inner.unused_data, zlib.decompressobj(HEADED)
            if piece:
                return piece
        return b""

    def end(self) -> None:
        """No more will come.

        Raises:
            ValueError: something is missing.
        """
        if self._has_begun and not self._inner.eof:
            raise ValueError("it is cut off")

    def _unpack(self) -> bytes:
        try:
            piece = self._inner.decompress(self._waiting, PIECE_BYTES_MAX)
        except zlib.error as error:
            if self._has_begun or self._coding != "deflate":
                raise ValueError("it is no such packing") from error
            # Some servers send deflate without the head of zlib that RFC 9110 (8.4.1.2) asks for.
            self._inner = zlib.decompressobj(RAW)
            self._has_begun = True
            return self._unpack()
        self._has_begun = True
        return piece
