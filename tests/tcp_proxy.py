"""A TCP proxy before a real server, for tests: it refuses, delays or loses what it is told to, at any time."""

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable

CHUNK = 65536


class TcpProxy:
    """Listens at `address` and hands everything on to `target`; a context, which ends every connection.

    `refuses`: new connections are closed at once, and those that are open when something comes through them.
    `delay`: seconds that every answer waits.
    `loses`: which answers (counted from 0) are lost, their connections with them, after the server has done its work.
    """

    def __init__(self, address: tuple[str, int], target: tuple[str, int]) -> None:
        self.refuses = False
        self.delay = 0.0
        self.loses: Callable[[int], bool] = lambda answer: False
        self._target = target
        self._answers = itertools.count()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(address)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> "TcpProxy":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._listener, *self._open):
            _end(one)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self.refuses:
                    raise ConnectionRefusedError
                server = socket.create_connection(self._target)
            except OSError:
                _end(client)
                continue
            self._open |= {client, server}
            for words in ((client, server, self._hand_on), (server, client, self._hand_back)):
                self._threads.append(threading.Thread(target=self._pump, args=words, daemon=True))
                self._threads[-1].start()

    def _pump(self, source: socket.socket, sink: socket.socket, hand: Callable[[socket.socket, bytes], None]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if self.refuses:
                    break
                hand(sink, data)
        for one in (source, sink):
            _end(one)

    def _hand_on(self, server: socket.socket, data: bytes) -> None:
        server.sendall(data)

    def _hand_back(self, client: socket.socket, data: bytes) -> None:
        if self.loses(next(self._answers)):
            raise ConnectionAbortedError
        time.sleep(self.delay)
        client.sendall(data)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
