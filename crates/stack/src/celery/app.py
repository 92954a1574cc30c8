"""The Celery application of the stack's workers, configured by environment variables."""

import json
import os
import threading
import time
from pathlib import Path

from celery import Celery
from celery.signals import worker_ready
from kombu import Exchange, Queue
from kombu.serialization import register

# A serializer that the gateway does not know.
register("reversed", lambda value: json.dumps(value)[::-1], lambda text: json.loads(text[::-1]),
         content_type="application/x-reversed", content_encoding="utf-8")

app = Celery("stack", broker=os.environ["BROKER"], backend=os.environ.get("RESULTS"))

# Without its own exchange and routing key, each queue would be bound to the default ones.
app.conf.task_queues = [
    Queue(name, Exchange(name), routing_key=name) for name in os.environ["QUEUES"].split(",")
]
app.conf.broker_connection_retry_on_startup = True
app.conf.update(json.loads(os.environ.get("SETTINGS", "{}")))
if app.conf.security_key:
    app.setup_security()


@app.task(name="nothing", ignore_result=True)
def nothing():
    """Returns at once."""


@app.task(name="hold", ignore_result=True)
def hold(path):
    """Blocks its process while the file exists and the parent process is the same."""
    Path(path + ".started").touch()
    parent = os.getppid()
    while os.path.exists(path) and os.getppid() == parent:
        time.sleep(0.005)


@worker_ready.connect
def log_when_it_replies(sender, **_):
    """Celery sends `worker_ready` before the worker consumes from its pidbox."""

    def ping():
        while not app.control.ping(destination=[sender.hostname], timeout=0.5):
            pass
        print("worker replies to ping", flush=True)

    if app.conf.worker_enable_remote_control:
        threading.Thread(target=ping, daemon=True).start()
    else:
        print("worker ready without remote control", flush=True)
