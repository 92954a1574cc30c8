"""Calls AWS through boto3: reads one request per line and writes one response per line.

A request is {"service": ..., "operation": ..., "parameters": {...}}, a response {"result": ...} or {"error": ...}.
"""

import functools
import json
import sys

import boto3
from botocore.config import Config
from botocore.response import StreamingBody

ENDPOINT, REGION, KEY, SECRET = sys.argv[1:]
CONFIG = Config(
    connect_timeout=5,
    read_timeout=60,
    retries={"total_max_attempts": 1},
    s3={"addressing_style": "path"},
)


@functools.cache
def client(service):
    return boto3.client(
        service,
        endpoint_url=ENDPOINT,
        region_name=REGION,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        config=CONFIG,
    )


def to_string(value):
    """Returns a value that JSON cannot represent as a string."""
    if isinstance(value, StreamingBody):
        value = value.read()
    return value.decode() if isinstance(value, bytes) else str(value)


def respond(request):
    try:
        call = getattr(client(request["service"]), request["operation"])
        result = call(**request["parameters"])
        result.pop("ResponseMetadata", None)
        return {"result": result}
    except Exception as error:
        return {"error": str(error)}


for line in sys.stdin:
    print(json.dumps(respond(json.loads(line)), default=to_string), flush=True)
