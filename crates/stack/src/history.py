"""The history service: inserts events from the bus into ClickHouse.

POST /events   one event, as an API destination sends it; requires the API key
GET  /health   whether ClickHouse responds
"""

import datetime
import json
import sys
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST, PORT, CLICKHOUSE, USER, PASSWORD, TABLE, KEY, BEHAVIOUR = sys.argv[1:]
# The gateway's own events are of no use once its check has timed out.
CLEAN = f"ALTER TABLE {TABLE} DELETE WHERE source = 'health-gateway' AND received < now() - 600"
CLEAN_EVERY = 600


def clickhouse(statement, rows=""):
    query = urllib.parse.urlencode({"query": statement})
    headers = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}
    url = f"http://{CLICKHOUSE}/?{query}"
    request = urllib.request.Request(url, rows.encode(), headers)
    with urllib.request.urlopen(request, timeout=5) as response:
        return response.read()


def insert(event):
    row = {
        "id": event["id"],
        "source": event["source"],
        "detail_type": event["detail-type"],
        "detail": json.dumps(event["detail"]),
        "received": datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S"),
    }
    clickhouse(f"INSERT INTO {TABLE} FORMAT JSONEachRow", json.dumps(row))


def clean():
    """Deletes old events: this ClickHouse is too old for a table with a TTL."""
    while True:
        time.sleep(CLEAN_EVERY)
        try:
            clickhouse(CLEAN)
        except OSError as error:
            print("clean:", error, flush=True)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/health":
            return self.respond(404, "not found")
        try:
            clickhouse("SELECT 1")
        except OSError as error:
            return self.respond(503, f"clickhouse: {error}")
        self.respond(200, "ok")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/events":
            return self.respond(404, "not found")
        if BEHAVIOUR == "refuse" or self.headers.get("X-Api-Key") != KEY:
            return self.respond(401, "wrong key")
        if BEHAVIOUR == "fail":
            return self.respond(500, "out of order")
        try:
            insert(json.loads(body))
        except OSError as error:
            return self.respond(503, f"clickhouse: {error}")
        self.respond(200, "ok")

    def respond(self, status, text):
        body = json.dumps({"status": text}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


threading.Thread(target=clean, daemon=True).start()
ThreadingHTTPServer((HOST, int(PORT)), Handler).serve_forever()
