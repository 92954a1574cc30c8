"""A WebSocket server for tests, which echoes messages, and misbehaves on some paths.

/                   echoes
/private            echoes; requires `X-Api-Key`, or Basic authentication as `health`
/origin             echoes; requires the origin https://app.example
/subprotocol/NAME   echoes; selects this subprotocol if any is offered
/greet/TEXT         sends messages of its own before it reads, then echoes
/talk/TEXT          sends this text once, and reads nothing for half a minute
/rpc                answers {"id": ID} with a greeting and {"result": "pong", "id": ID}, in JSON
/flood              sends messages without end
/silent             upgrades, and neither reads nor writes for half a minute
/close/CODE/REASON  closes at once with this code, and optionally with a reason
/status/CODE        responds with this status instead of upgrading

`connections.json` in its folder contains the number of open connections, and of closed ones by close code.
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
    """Returns the segments of the path, without the query."""
    return connection.request.path.partition("?")[0].split("/")[1:]


def process_request(connection, request):
    headers = request.headers
    match path(connection):
        case ["private"] if SECRET != headers.get("X-Api-Key") and BASIC != headers.get("Authorization"):
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "Credentials are required.\n")
        case ["origin"] if headers.get("Origin") != "https://app.example":
            return connection.respond(http.HTTPStatus.FORBIDDEN, "This origin is not allowed.\n")
        case ["status", code]:
            response = connection.respond(http.HTTPStatus(int(code)), "No WebSocket here.\n")
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
            for answer in answers(connection, message):
                await connection.send(answer)
    except ConnectionClosed:
        pass
    finally:
        await connection.wait_closed()
        count(open=-1, **{str(connection.close_code): 1})


def answers(connection, message):
    match path(connection):
        case ["rpc"]:
            return ['{"event": "hello"}', json.dumps({"result": "pong", "id": json.loads(message)["id"]})]
        case _:
            return [message]


async def misbehave(connection):
    match path(connection):
        case ["greet", text]:
            connection.transport.pause_reading()
            for message in ["", text, text.encode(), [text, text]]:
                await connection.send(message)
            await connection.ping()
            await connection.pong(b"unasked")
            connection.transport.resume_reading()
        case ["flood"]:
            while True:
                await connection.send("and another thing")
        case ["silent"] | ["talk", _]:
            for text in path(connection)[1:]:
                await connection.send(text)
            connection.transport.pause_reading()
            # Longer than any client waits. Without reading, the server does not notice that the client has disconnected.
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
