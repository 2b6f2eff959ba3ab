"""A WebSocket client: python3 client.py converse|follow URL CERTIFICATE."""

import asyncio
import os
import ssl
import sys

from websockets.exceptions import ConnectionClosed, InvalidStatusCode
from websockets.legacy.client import connect

mode, base, certificate = sys.argv[1:]


def dial(path, **options):
    if base.startswith("wss:"):
        options["ssl"] = ssl.create_default_context(cafile=certificate)
        options["server_hostname"] = "clock.test"
    return connect(base + path, max_size=None, **options)


async def converse():
    """Everything that a client can do, once."""
    async with dial("/", subprotocols=["other", "chat"]) as ws:
        assert ws.subprotocol == "chat", ws.subprotocol
        for message in ["héllo", b"\x00\xff", "", b"", "x" * (1 << 20), os.urandom(1 << 20)]:
            await ws.send(message)
            assert await ws.recv() == message, "not what was sent: %d %s" % (len(message), type(message))
        await ws.send(["in ", "", "three", " parts"])
        assert await ws.recv() == "in three parts"
        await asyncio.wait_for(await ws.ping(b"there?"), 20)
        await ws.close(4002, "bye")
        assert ws.close_code == 4002, ws.close_code
    async with dial("/ping") as ws:
        assert await ws.recv() == "ponged"
    async with dial("/close") as ws:
        try:
            await ws.recv()
        except ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "done"), closed
    try:
        async with dial("/refuse"):
            raise AssertionError("not refused")
    except InvalidStatusCode as refused:
        assert refused.status_code == 403, refused


async def follow():
    """Echo after echo until the connection ends, and how it did."""
    async with dial("/") as ws:
        try:
            for n in range(1, 1 << 30):
                await ws.send(str(n))
                assert await ws.recv() == str(n)
                print("echoes", n, flush=True)
                await asyncio.sleep(0.05)
        except ConnectionClosed:
            print("ended", ws.close_code, flush=True)


asyncio.run(asyncio.wait_for({"converse": converse, "follow": follow}[mode](), 60))
