"""A network between the store and PostgreSQL that a test cuts and mends."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from enum import Enum
from typing import Any
from urllib.parse import urlsplit


class Towards(Enum):
    """Which way bytes go."""

    DATABASE = "the database"
    STORE = "the store"


class Proxy:
    """Passes connections on to a database until it is cut: then it ends them and takes none until it is mended.

    database_url: that of the database, on this machine. Within a `with` block it runs; url leads through it.
    """

    def __init__(self, database_url: str) -> None:
        self._database = urlsplit(database_url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._writers: set[asyncio.StreamWriter] = set()
        self._cut_towards: Towards | None = None
        self._bytes_left = 0
        self._is_cut = threading.Event()
        self.url = ""

    def __enter__(self) -> Proxy:
        self._thread.start()
        server = self._run(asyncio.start_server(self._connect, "127.0.0.1"))
        port = server.sockets[0].getsockname()[1]
        self.url = self._database._replace(netloc=f"{self._database.username}@127.0.0.1:{port}").geturl()
        return self

    def __exit__(self, *error: object) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self, towards: Towards, after: int) -> None:
        """Cut the network in the middle of what goes one way next, once so many more bytes went there; wait for that.

        Raises AssertionError where nothing is sent.
        """
        self._bytes_left = after
        self._cut_towards = towards
        assert self._is_cut.wait(30), "nothing was sent"

    def mend(self) -> None:
        self._is_cut.clear()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut.is_set():
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(self._database.hostname, self._database.port)
        ends = {writer, far_writer}
        self._writers |= ends
        with contextlib.suppress(ConnectionError):
            await asyncio.wait(
                [
                    asyncio.ensure_future(self._pass_on(reader, far_writer, Towards.DATABASE)),
                    asyncio.ensure_future(self._pass_on(far_reader, writer, Towards.STORE)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        self._writers -= ends
        for end in ends:
            end.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, towards: Towards) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                if self._cut_towards is towards and len(data) > self._bytes_left:
                    writer.write(data[: self._bytes_left])
                    await writer.drain()
                    self._cut_towards = None
                    self._is_cut.set()
                    await self._end()
                    return
                if self._cut_towards is towards:
                    self._bytes_left -= len(data)
                writer.write(data)
                await writer.drain()

    async def _end(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
