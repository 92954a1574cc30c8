"""moto's server, with AWS's own words where moto has others, and with a clock that may be wrong.

Its arguments are the address and the port on which it listens, and by how many seconds its clock is ahead.
"""

import email.utils
import io
import json
import re
import sys
import threading
import time

from moto.iam.access_control import IAMRequestBase
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple

HOST = sys.argv[1]
PORT, AHEAD = map(int, sys.argv[2:])
# So far AWS lets clocks be apart.
SKEW = 15 * 60

# What services that speak JSON call the errors that moto takes from those that speak XML.
JSON_NAMES = {
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "AccessDenied": "AccessDeniedException",
}
REFUSAL = re.compile(
    r"<Errors>\s*<Error>\s*<Code>(.*?)</Code>\s*<Message><!\[CDATA\[(.*?)\]\]></Message>", re.S
)
# How moto writes some truth values; none but Python can read them.
PYTHON_BOOL = re.compile(rb">(True|False)<")
XML_REFUSAL = """<?xml version="1.0"?>
<ErrorResponse xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Error><Type>Sender</Type>\
<Code>{}</Code><Message>{}</Message></Error><RequestId>1</RequestId></ErrorResponse>"""
SKEWED = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the \
current time is too large.</Message><RequestTime>{}</RequestTime><ServerTime>{}</ServerTime>\
<MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds><RequestId>1</RequestId></Error>"""

# What is known of a request only before moto has it.
sent = threading.local()
as_signed = IAMRequestBase._create_aws_request


def as_sent(request):
    """moto puts a request together otherwise than it was sent, and then finds no signature right."""
    request._path = sent.uri
    if request._method == "GET":
        request._data = {}
    return as_signed(request)


IAMRequestBase._create_aws_request = as_sent
moto = DomainDispatcherApplication(create_backend_app)


class Handler(WSGIRequestHandler):
    """Keeps its connections, as AWS does and werkzeug's own does not."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(time.time() + AHEAD, usegmt=True)

    def run_wsgi(self):
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        environ = self.make_environ() | {"wsgi.input": io.BytesIO(body)}
        start = {}

        def keep(status, headers, exc_info=None):
            start.update(status=status.split(None, 1), headers=headers)

        answer = b"".join(app(environ, keep))
        self.send_response(int(start["status"][0]), *start["status"][1:])
        for name, value in start["headers"]:
            if self.command == "HEAD" or name.lower() != "content-length":
                self.send_header(name, value)
        if self.command == "HEAD":
            return self.end_headers()
        if start["status"][0] not in ("204", "304"):
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def app(environ, start_response):
    start = {}
    sent.uri = environ["REQUEST_URI"]

    def keep(status, headers, exc_info=None):
        start.update(status=status, headers=headers)

    signed_at = environ.get("HTTP_X_AMZ_DATE")
    if signed_at and AHEAD > SKEW:
        return skewed(signed_at, start_response)
    body = b"".join(moto(environ, keep))
    refusal = start["status"].startswith("403") and REFUSAL.search(body.decode(errors="replace"))
    if refusal:
        return refuse(environ, *refusal.groups(), start_response)
    start_response(start["status"], start["headers"])
    if b"cloudfront.amazonaws.com/doc" in body:
        body = PYTHON_BOOL.sub(lambda found: found[0].lower(), body)
    return [body]


def refuse(environ, code, message, start_response):
    if "HTTP_X_AMZ_TARGET" in environ:
        name = JSON_NAMES.get(code, code)
        start_response("400 Bad Request", [("Content-Type", "application/x-amz-json-1.1")])
        return [json.dumps({"__type": name, "message": message}).encode()]
    start_response("403 Forbidden", [("Content-Type", "text/xml")])
    return [XML_REFUSAL.format(code, message).encode()]


def skewed(signed_at, start_response):
    now = time.time() + AHEAD
    start_response("403 Forbidden", [("Content-Type", "application/xml")])
    return [SKEWED.format(signed_at, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))).encode()]


run_simple(HOST, PORT, app, threaded=True, request_handler=Handler)
