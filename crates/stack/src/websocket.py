"""A WebSocket server for tests: it echoes what it is told, and misbehaves on some paths.

/                   echoes
/private            echoes, for who shows `X-Api-Key` or the Basic user `health`
/origin             echoes, for pages of https://app.example
/subprotocol/NAME   echoes, and selects this subprotocol if any is offered
/talk/TEXT          sends messages of its own before it reads any, then echoes
/ramble             sends messages without end
/silent             upgrades, and neither reads nor writes anything for half a minute
/close/CODE/REASON  closes at once with this code, and a reason if there is one
/status/CODE        answers this status in place of the upgrade

`connections.json` in its folder says how many are open, and with which codes the others were closed.
"""

import asyncio
import base64
import collections
import http
import json
import os
import ssl
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

HOST, PORT, SECRET, CERTIFICATE, KEY, CLIENT_CA = sys.argv[1:]
BASIC = "Basic " + base64.b64encode(f"health:{SECRET}".encode()).decode()

counts = collections.Counter()


def count(**changes):
    counts.update(changes)
    with open("connections.json.new", "w") as file:
        json.dump(counts, file)
    os.rename("connections.json.new", "connections.json")


def path(connection):
    """The path in its parts, without the query."""
    return connection.request.path.partition("?")[0].split("/")[1:]


def process_request(connection, request):
    headers = request.headers
    match path(connection):
        case ["private"] if SECRET != headers.get("X-Api-Key") and BASIC != headers.get("Authorization"):
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "Who are you?\n")
        case ["origin"] if headers.get("Origin") != "https://app.example":
            return connection.respond(http.HTTPStatus.FORBIDDEN, "Not from there.\n")
        case ["status", code]:
            response = connection.respond(http.HTTPStatus(int(code)), "Not here.\n")
            response.headers["Location"] = "/"
            return response


def select_subprotocol(connection, offered):
    match path(connection):
        case ["subprotocol", name] if offered:
            return name


async def handle(connection):
    count(open=1)
    try:
        await misbehave(connection)
        async for message in connection:
            await connection.send(message)
    except ConnectionClosed:
        pass
    finally:
        await connection.wait_closed()
        count(open=-1, **{str(connection.close_code): 1})


async def misbehave(connection):
    match path(connection):
        case ["talk", text]:
            connection.transport.pause_reading()
            for message in ["", text, text.encode(), [text, text]]:
                await connection.send(message)
            await connection.ping()
            await connection.pong(b"unasked")
            connection.transport.resume_reading()
        case ["ramble"]:
            while True:
                await connection.send("and another thing")
        case ["silent"]:
            connection.transport.pause_reading()
            # Longer than anybody waits; only who reads sees that the client is gone.
            await asyncio.sleep(30)
            connection.transport.resume_reading()
        case ["close", code, *reason]:
            await connection.close(int(code), "/".join(reason))


def tls():
    if not CERTIFICATE:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    if CLIENT_CA:
        context.load_verify_locations(CLIENT_CA)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def main():
    server = serve(
        handle,
        HOST,
        int(PORT),
        ssl=tls(),
        process_request=process_request,
        select_subprotocol=select_subprotocol,
        ping_interval=None,
    )
    async with server as running:
        await running.serve_forever()


asyncio.run(main())
