"""MongoDB's wire protocol in front of SQLite: nx-27017, each database apart and in memory.

It is no MongoDB: an operator that it does not know, it may ignore. What the gate asks of it was
tried against a real client.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys

from pytest_release.sandbox.child import leave_with_parent

FIRST = ("nx_27017.handler", "nx_27017.server")  # imported late: an extra


def main() -> None:
    """Serve on the listener that was inherited."""
    leave_with_parent()
    from nx_27017.handler import NeoSQLiteHandler  # noqa: PLC0415 - an extra
    from nx_27017.server import handle_client  # noqa: PLC0415 - an extra

    logging.getLogger("nx_27017").setLevel(logging.ERROR)
    handler = NeoSQLiteHandler(data_dir="memory")

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak with one."""
        await handle_client(reader, writer, handler)

    async def serve() -> None:
        """Until the process ends."""
        listener = socket.socket(fileno=json.loads(sys.argv[1])["listener"])
        async with await asyncio.start_server(client, sock=listener) as server:
            await server.serve_forever()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
