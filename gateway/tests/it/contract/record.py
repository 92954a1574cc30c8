#!/usr/bin/env python3
"""Records the responses of Django REST framework, with which the gateway's are compared.

The endpoint that the gateway replaces was written with Django REST framework; this is that
endpoint in its smallest form, behind a real server, sent every request that a monitor might send.
The responses are stored in `recorded.json`, beside this file, which only this script writes:

    python3.13 -m venv /tmp/record && . /tmp/record/bin/activate
    pip install Django==6.1.3 djangorestframework==3.18.3 uvicorn==0.54.0 h11==0.16.0
    python record.py

What the server adds rather than the framework (`date`, `server`, `connection`) is left out.
A page of HTML is recorded without its body, which is the framework's and not ours.
"""

import json
import pathlib
import socket
import threading
import time

import django
import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["rest_framework"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": [], "UNAUTHENTICATED_USER": None},
    ROOT_URLCONF=__name__,
    TEMPLATES=[
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}
    ],
)
django.setup()

from rest_framework.exceptions import MethodNotAllowed  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

TOKENS = ["right-token", "tökén", "a+b", "with space", "100%", "semi;colon", "dot..dot", "~tilde"]
LONG = "x" * 4000

# Must equal `report()` in `fake_source.rs`. The separators U+2028 and U+2029 are intentional.
REPORT = {
    "cache": {
        "data": {"status": "working", "response_time": "0.000412"},
        "pages": {"status": 'read: "größe"\t<b> \\ \x01\x7f\u2028\u2029', "response_time": "3.000000"},
    },
    "s3": {},
    "postgres": {"status": "connect: connection refused (db:5432)", "response_time": "0.100000"},
}


class HealthView(APIView):
    """Asks every backend of an application whether it could do its work right now."""

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        if kwargs["token"] not in TOKENS:
            raise MethodNotAllowed(request.method)

    def get(self, request, token):
        return Response(REPORT)


urlpatterns = [path("api/health/<str:token>/", HealthView.as_view())]

RIGHT = "/api/health/right-token/"
WRONG = "/api/health/wrong-token/"
CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"

METHODS = [
    "GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE",
    "get", "Head", "options", "post", "LINK", "M-SEARCH", "x!#$%&'*+-.^_`|~9",
]  # fmt: skip

QUERIES = [
    "", "format=", "format", "format=json", "format=xml", "format=JSON", "format=api", "format=html",
    "format=json&format=xml", "format=xml&format=json", "format=json&format=", "format=xml&format=",
    "FORMAT=json", "Format=xml", "%66ormat=xml", "format=js%6Fn", "format=js%6fn", "format=+json", "format=json+",
    "format=%20json", "format=json%00", "format=%ff", "format=%zz", "format=json%", "format=json;x=1",
    "x=1;format=xml", "&&format=json&", "a=b&format=xml", "format==json", "format=json=", "format%3Dxml",
    "=format", "?format=xml", "format=json?", "format[]=xml", "+format=xml", "format+=xml", ".format=xml",
    "q=%E2%82%AC", "a&" * 999 + "format=xml", "a&" * 1000 + "format=json",
]  # fmt: skip

ACCEPTS = [
    [], [""], [" "], [","], [", ,"], ["*/*"], ["*"], ["*/"], ["/"], ["/*"], ["json"], ["application"], ["application/"],
    ["application/json"], ["APPLICATION/JSON"], ["Application/Json"], ["application/json "], ["application / json"],
    ["application/*"], ["application/*;q=0"], ["*/json"], ["*/html"], ["*/xml"], ["text/*"], ["text/plain"],
    ["image/png"], ["image/*"], ["application/xml"], ["application/jsonp"], ["application/json-patch+json"],
    ["application/json;q=0"], ["application/json;q=0, */*;q=0"], ["*/*;q=0"], ["application/json;q=x"],
    ["text/html"], ["TEXT/HTML"], ["text/html;q=0"], ["text/html;level=1"], ["text/html; charset=utf-8"],
    ["application/xhtml+xml"], [CHROME], [FIREFOX], [JAVA],
    ["application/json, text/html"], ["text/html, application/json"], ["text/html;q=1, application/json;q=0.1"],
    ["application/json;q=0.1, text/html;q=1"], ["text/html, application/json;q=1"], ["text/html;level=1, application/json"],
    ["text/html, application/json;version=1"], ["text/html;a=1, application/json;a=1"], ["text/html;level=1, */*"],
    ["text/*, application/*"], ["text/*, */*"], ["text/html, */*"], ["text/html, application/*"], ["*/html, */json"],
    ["text/html;q=0.5;level=1, application/json"], ["text/html;q=0.5, application/json;q=0.5;level=1"],
    ["application/json;version=1"], ["application/json; version=1; q=0.5"], ["application/json;"], ["application/json;;"],
    ["application/json;charset=utf-8"], ["application/json;x"], ["application/json;q"],
    ["application/json; indent=4"], ["application/json;indent=4"], ["application/json; INDENT=4"], ['application/json; indent="4"'],
    ["application/json; indent=0"], ["application/json; indent=1"], ["application/json; indent=8"], ["application/json; indent=9"],
    ["application/json; indent=99"], ["application/json; indent=x"], ["application/json; indent="], ["application/json; indent"],
    ["application/json; indent=-4"], ["application/json; indent=+4"], ["application/json; indent=04"], ["application/json; indent=4.0"],
    ["application/json; indent=1_0"], ["application/json; indent=_1"], ["application/json; indent=1__0"], ["application/json; indent = 4"],
    ['application/json; indent=" 4 "'], ["application/json; indent=" + "9" * 200], ["application/json; indent=" + "9" * 300],
    ["application/json; indent=4; indent=2"], ["application/json; q=0.1; indent=3"], ["application/json; x=';'; indent=3"],
    ['application/json; x=";indent=3"'], ['application/json; x="a;b"; indent=3'], ['application/json; x="a\\";b"; indent=3'],
    ["*/*; indent=4"], ["application/*; indent=4"], ["*/json;indent=2"], ["*/*;q=0.1;indent=4"], ["text/html, */*; indent=4"],
    ["text/plain, application/json; indent=4"], ["application/json, application/json; indent=4"],
    ["application/json, image/png; indent=4"], ["application/json; indent=\u00b2"], ["application/json; ind\u00e9nt=4"],
    ["text/plain", "application/json"], ["text/html", "application/json"], ["application/json", "text/html"],
    ["text/plain", "text/css"], ["", "application/json"], ["text/html", "*/*; indent=4"],
    ["\t"], ["\u00e4\u00f6\u00fc"], ["\u00ff/\u00ff"], [";"], [";q=1"], ["=/="], ["application/json=x"], ["a=b;application/json"],
    ["application/json:q=1"], ["application\\json"], ['"application/json"'], ["application/json/x"], ["*/*/*"],
    ["application/json text/html"], ["text/html application/json"], ["text/html;application/json"],
    ["x" * 300 + ", application/json"], ["application/json;x=" + "y" * 300], ["application/json;x=" + "y" * 235], ["text/plain," * 63 + "application/json"],
    ["text/plain," * 64 + "application/json"], ["," * 200 + "application/json"], ["text/plain" + "," * 8179 + ", application/json"],
    ["text/plain" + "," * 8160 + ", application/json"], ["x" * 9000], ["x" * 9000 + ",application/json"], ["application/json," + "x" * 9000],
]  # fmt: skip

PATHS = [
    "/", "/api", "/api/", "/api/health", "/api/health/", "/api/health//", "//api/health/right-token/",
    "/api//health/right-token/", "/api/health//right-token/", "/api/health/right-token//", "/api/health/right-token/x",
    "/api/health/right-token/x/", "/api/health/right-token/.", "/api/health/right-token/..", "/api/health/./right-token/",
    "/api/health/x/../right-token/", "/API/health/right-token/", "/api/Health/right-token/", "/api/health/RIGHT-TOKEN/",
    "/api/health/Right-Token/", "/%61pi/health/right-token/", "/api/he%61lth/right-token/", "/api%2fhealth/right-token/",
    "/api%2Fhealth%2Fright-token%2F", "/api/health/right%2dtoken/", "/api/health/right%2Dtoken/", "/api/health/%72ight-token/",
    "/api/health/right-token%2f", "/api/health/right-token%2F/", "/api/health/right%2Ftoken/", "/api/health/%2F/",
    "/api/health/right-token%20/", "/api/health/%20right-token/", "/api/health/+/", "/api/health/%/", "/api/health/%zz/",
    "/api/health/%4/", "/api/health/%ff/", "/api/health/%ff%fe/", "/api/health/right-token%ff/", "/api/health/%c3/",
    "/api/health/%c3%28/", "/api/health/%ed%a0%80/", "/api/health/%00/", "/api/health/right-token%00/", "/api/health/%0a/",
    "/api/health/right-token%0a/", "/api/health/right-token%0D%0A/", "/api/health/%3f/", "/api/health/right-token%3fformat=xml/",
    "/api/health/%23/", "/api/health/t%C3%B6k%C3%A9n/", "/api/health/t%c3%b6k%c3%a9n/", "/api/health/to%CC%88k%C3%A9n/",
    "/api/health/a+b/", "/api/health/a%2Bb/", "/api/health/a%20b/", "/api/health/with%20space/", "/api/health/with+space/",
    "/api/health/100%25/", "/api/health/100%/", "/api/health/100%2525/", "/api/health/semi;colon/", "/api/health/semi%3Bcolon/",
    "/api/health/right-token;x=1/", "/api/health/dot..dot/", "/api/health/./", "/api/health/../", "/api/health/~tilde/",
    "/api/health/%7Etilde/", f"/api/health/{LONG}/", "/api/health/right-token/%20", "/api/health/right-token/%00",
    "/api/health/right-token.json/", "/api/health/right-token/.json", "/api/health/'\"/", "/api/health/{x}/", "/api/health/[x]/",
    "/api/health/a=b/", "/api/health/a&b/", "/api/health/a:b/", "/api/health/a@b/", "/api/health/a!b/", "/api/health/a,b/",
    "/api/health/right-token/;x", "/favicon.ico", "/robots.txt", "/health", "/api/healthx/right-token/", "/xapi/health/right-token/",
    "/api/health?format=json", "/?format=xml", "/nowhere/?format=xml", "/nowhere/?format=json", "/api/health/?format=json",
]  # fmt: skip

SLASHLESS = [
    "/api/health/right-token", "/api/health/right-token?format=json", "/api/health/right-token?format=xml",
    "/api/health/wrong-token", "/api/health/wrong-token?format=xml", "/api/health/t%C3%B6k%C3%A9n", "/api/health/right%2Ftoken",
]  # fmt: skip

BODIES = [
    ("GET", RIGHT, "application/json", "{}"), ("GET", RIGHT, "application/json", "not json"), ("GET", RIGHT, "", ""),
    ("GET", RIGHT, "nonsense", ""), ("GET", RIGHT, "application/x-www-form-urlencoded", "format=xml&_method=PUT"),
    ("POST", RIGHT, "application/json", "{}"), ("POST", RIGHT, "application/json", "not json"),
    ("POST", RIGHT, "application/x-www-form-urlencoded", "_method=GET"), ("POST", WRONG, "application/json", "{}"),
    ("PUT", RIGHT, "text/plain", "x"), ("OPTIONS", RIGHT, "application/json", "{}"),
]  # fmt: skip


def requests():
    """Every request, as (method, target, headers, body)."""
    for method in METHODS:
        for target in [RIGHT, WRONG, RIGHT + "?format=json", RIGHT + "?format=xml", WRONG + "?format=xml", "/nowhere/"]:
            yield method, target, [], ""
        for accept in ["text/html", "image/png", "application/json; indent=2"]:
            for target in [RIGHT, WRONG, RIGHT + "?format=json"]:
                yield method, target, [("Accept", accept)], ""
    for query in QUERIES:
        yield "GET", f"{RIGHT}?{query}", [], ""
        if len(query) < 100:
            yield "GET", f"{RIGHT}?{query}", [("Accept", FIREFOX)], ""
            yield "GET", f"{WRONG}?{query}", [("Accept", "image/png")], ""
    for accept in ACCEPTS:
        headers = [("Accept", value) for value in accept]
        yield "GET", RIGHT, headers, ""
        if len(str(accept)) < 100:
            yield "GET", WRONG, headers, ""
            yield "GET", RIGHT + "?format=json", headers, ""
    for target in PATHS:
        yield "GET", target, [], ""
    slashed = [target.replace("?", "/?") if "?" in target else target + "/" for target in SLASHLESS]
    for target in ["/", "/api/health/", "/api/health//", RIGHT + "x", *SLASHLESS, *slashed]:
        for method in ["HEAD", "OPTIONS", "POST"]:
            yield method, target, [], ""
        for accept in ["text/html", "image/png", "application/json; indent=4"]:
            yield "GET", target, [("Accept", accept)], ""
    for target in SLASHLESS + slashed:
        yield "GET", target, [], ""
    for method, target, kind, body in BODIES:
        yield method, target, [("Content-Type", kind)], body
    for name, value in [
        ("X-HTTP-Method-Override", "PUT"), ("X-Forwarded-Host", "elsewhere"), ("Origin", "https://elsewhere"), ("Cookie", "csrftoken=x"),
        ("Accept-Encoding", "gzip"), ("Accept-Language", "de"), ("Accept-Charset", "latin-1"), ("Range", "bytes=0-3"), ("If-None-Match", "*"),
        ("If-Modified-Since", "Mon, 01 Jan 2024 00:00:00 GMT"), ("X-Requested-With", "XMLHttpRequest"), ("User-Agent", ""), ("Accept-Version", "2"),
    ]:  # fmt: skip
        yield "GET", RIGHT, [(name, value)], ""


def exchange(port, method, target, headers, body):
    """Sends one request on a new connection, and returns the parsed response."""
    head = [f"{method} {target} HTTP/1.1", "Host: health", "Connection: close"]
    head += [f"{name}: {value}" for name, value in headers]
    if body:
        head.append(f"Content-Length: {len(body)}")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(("\r\n".join(head) + "\r\n\r\n" + body).encode("latin-1"))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = [line.split(": ", 1) for line in lines]
    headers = sorted([name.lower(), value] for name, value in headers if name.lower() != "connection")
    html = any(name == "content-type" and value.startswith("text/html") for name, value in headers)
    if html:
        headers = [pair for pair in headers if pair[0] != "content-length"]
    return {
        "status": int(status.split()[1]),
        "headers": headers,
        "body": None if html else body.decode(),
    }


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        get_asgi_application(),
        http="h11",
        lifespan="off",
        log_level="critical",
        date_header=False,
        server_header=False,
        h11_max_incomplete_event_size=65536,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    rows = {}
    for method, target, headers, body in requests():
        key = (method, target, tuple(headers), body)
        if key not in rows:
            asked = {"method": method, "target": target, "headers": headers, "body": body}
            rows[key] = {"asked": asked, "answered": exchange(listener.getsockname()[1], *key)}
    server.should_exit = True
    thread.join()
    text = ",\n".join(json.dumps(row, ensure_ascii=True) for row in rows.values())
    pathlib.Path(__file__).with_name("recorded.json").write_text(f"[\n{text}\n]\n")
    print(f"{len(rows)} requests recorded")


if __name__ == "__main__":
    main()
