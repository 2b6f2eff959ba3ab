"""A WebSocket server: python3 server.py PORT. It says how each connection ended."""

import asyncio
import sys
from http import HTTPStatus

from websockets.exceptions import ConnectionClosed
from websockets.legacy.server import serve


async def refuse(path, _headers):
    if path == "/refuse":
        return HTTPStatus.FORBIDDEN, [("Content-Type", "text/plain")], b"no entry\n"


async def talk(ws):
    try:
        if ws.path == "/close":
            await ws.close(4001, "done")
        if ws.path == "/ping":
            await (await ws.ping(b"are you there"))
            await ws.send("ponged")
        async for message in ws:
            await ws.send(message)
    except ConnectionClosed:
        pass
    await ws.wait_closed()
    print("closed", ws.close_code, ws.close_reason, flush=True)


async def main():
    async with serve(talk, "127.0.0.1", int(sys.argv[1]), subprotocols=["chat"], process_request=refuse, max_size=None):
        await asyncio.Future()


asyncio.run(main())
