"""A TCP proxy that can be cut, made to hang, and mended: a service that goes and comes back, wherever it really runs."""

import asyncio
import contextlib


class CuttableProxy:
    """Stands between a program and a service at a port of this machine; see ``in_a_thread``."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.is_cut = False
        self._behind = port
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()

    async def __aenter__(self) -> "CuttableProxy":
        self._loop = asyncio.get_running_loop()
        self._flows.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._server is not None
        self._server.close()
        self._flows.set()
        self._break_all()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Break all connections, and each that is tried from now on. From any thread."""
        self.is_cut = True
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._break_all)

    def hang(self) -> None:
        """Take connections and what they send, as before, and say nothing more. From any thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._flows.clear)

    def mend(self) -> None:
        """Let connections through again; what was held back since a hang comes first. From any thread."""
        self.is_cut = False
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._flows.set)

    def _break_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        await self._flows.wait()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self._writers -= {writer, far_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                await self._flows.wait()
                writer.write(piece)
                await writer.drain()
        writer.close()
