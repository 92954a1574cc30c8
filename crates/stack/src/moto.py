"""moto's server with AWS's error codes, and with a clock that may be wrong.

Its arguments are the address and the port to listen on, and the number of seconds by which its clock is ahead.
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
# The clock skew that AWS allows.
SKEW = 15 * 60

# The names that JSON services have for the errors that moto takes from XML services.
JSON_NAMES = {
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "AccessDenied": "AccessDeniedException",
}
ERROR = re.compile(
    r"<Errors>\s*<Error>\s*<Code>(.*?)</Code>\s*<Message><!\[CDATA\[(.*?)\]\]></Message>", re.S
)
# moto renders some booleans as Python does, which XML parsers reject.
PYTHON_BOOL = re.compile(rb">(True|False)<")
XML_ERROR = """<?xml version="1.0"?>
<ErrorResponse xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Error><Type>Sender</Type>\
<Code>{}</Code><Message>{}</Message></Error><RequestId>1</RequestId></ErrorResponse>"""
SKEWED = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the \
current time is too large.</Message><RequestTime>{}</RequestTime><ServerTime>{}</ServerTime>\
<MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds><RequestId>1</RequestId></Error>"""

# Properties of the current request that moto does not keep.
sent = threading.local()
create_aws_request = IAMRequestBase._create_aws_request


def as_sent(request):
    """Restores the request as it was sent: moto rebuilds it differently, and would reject every signature."""
    request._path = sent.uri
    if request._method == "GET":
        request._data = {}
    return create_aws_request(request)


IAMRequestBase._create_aws_request = as_sent
moto = DomainDispatcherApplication(create_backend_app)


class Handler(WSGIRequestHandler):
    """Keeps connections alive, as AWS does and werkzeug's own handler does not."""

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

        def save_response(status, headers, exc_info=None):
            start.update(status=status.split(None, 1), headers=headers)

        body = b"".join(app(environ, save_response))
        self.send_response(int(start["status"][0]), *start["status"][1:])
        for name, value in start["headers"]:
            if self.command == "HEAD" or name.lower() != "content-length":
                self.send_header(name, value)
        if self.command == "HEAD":
            return self.end_headers()
        if start["status"][0] not in ("204", "304"):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def app(environ, start_response):
    start = {}
    sent.uri = environ["REQUEST_URI"]

    def save_response(status, headers, exc_info=None):
        start.update(status=status, headers=headers)

    signed_at = environ.get("HTTP_X_AMZ_DATE")
    if signed_at and AHEAD > SKEW:
        return skewed(signed_at, start_response)
    body = b"".join(moto(environ, save_response))
    error = start["status"].startswith("403") and ERROR.search(body.decode(errors="replace"))
    if error:
        return access_error(environ, *error.groups(), start_response)
    start_response(start["status"], start["headers"])
    if b"cloudfront.amazonaws.com/doc" in body:
        body = PYTHON_BOOL.sub(lambda match: match[0].lower(), body)
    return [body]


def access_error(environ, code, message, start_response):
    if "HTTP_X_AMZ_TARGET" in environ:
        name = JSON_NAMES.get(code, code)
        start_response("400 Bad Request", [("Content-Type", "application/x-amz-json-1.1")])
        return [json.dumps({"__type": name, "message": message}).encode()]
    start_response("403 Forbidden", [("Content-Type", "text/xml")])
    return [XML_ERROR.format(code, message).encode()]


def skewed(signed_at, start_response):
    now = time.time() + AHEAD
    start_response("403 Forbidden", [("Content-Type", "application/xml")])
    return [SKEWED.format(signed_at, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))).encode()]


run_simple(HOST, PORT, app, threaded=True, request_handler=Handler)
