"""The Celery application of the stack's workers; the environment says which broker it serves."""

import os
import threading
import time
from pathlib import Path

from celery import Celery
from celery.signals import worker_ready
from kombu import Exchange, Queue

app = Celery("stack", broker=os.environ["BROKER"], backend=os.environ.get("RESULTS"))

# Without an exchange and a routing key of its own, each queue would be bound to the default ones.
app.conf.task_queues = [
    Queue(name, Exchange(name), routing_key=name) for name in os.environ["QUEUES"].split(",")
]
app.conf.broker_connection_retry_on_startup = True


@app.task(name="nothing", ignore_result=True)
def nothing():
    """Ends at once."""


@app.task(name="hold", ignore_result=True)
def hold(path):
    """Keeps its process busy for as long as the file is there, and its worker."""
    Path(path + ".begun").touch()
    parent = os.getppid()
    while os.path.exists(path) and os.getppid() == parent:
        time.sleep(0.005)


@worker_ready.connect
def say_when_it_answers(sender, **_):
    """A worker calls itself ready before it has asked its broker for questions."""

    def ask():
        while not app.control.ping(destination=[sender.hostname], timeout=0.5):
            pass
        print("it answers", flush=True)

    threading.Thread(target=ask, daemon=True).start()
