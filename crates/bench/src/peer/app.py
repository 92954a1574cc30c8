"""The peer's application: django-health-check with the gateway's checks, configured by environment variables."""

import datetime
import os

from celery import Celery
from django.conf import settings
from kombu import Queue
from redis.asyncio import Redis as RedisClient

tuned = bool(os.environ["TUNED"])
host, port = os.environ["POSTGRES"].split(":")
aliases = ["default", "pages", "task_lock", "task_queue"]

settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="of a throw-away bench",
    ROOT_URLCONF=__name__,
    # The middleware sets Content-Length.
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": host,
            "PORT": port,
            "NAME": os.environ["POSTGRES_DATABASE"],
            "USER": os.environ["POSTGRES_USER"],
            "PASSWORD": os.environ["POSTGRES_PASSWORD"],
            "OPTIONS": {"pool": True} if tuned else {},
        }
    },
    CACHES={
        alias: {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"{os.environ['REDIS2']}/{database}",
            "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1} if tuned else {},
        }
        for database, alias in enumerate(aliases, 1)
    },
)

from django.core.asgi import get_asgi_application  # noqa: E402

application = get_asgi_application()

from django.urls import path  # noqa: E402
from health_check.views import HealthCheckView  # noqa: E402

celery = Celery("peer", broker=os.environ["BROKER"], backend="rpc://")
celery.conf.task_queues = [Queue(name) for name in os.environ["QUEUES"].split(",")]
if tuned:
    celery.conf.broker_transport_options = {"socket_timeout": 1, "connect_timeout": 1}


def redis(url):
    options = {"socket_timeout": 1, "socket_connect_timeout": 1} if tuned else {}
    return lambda: RedisClient.from_url(url, **options)


ping = {"app": celery}
if tuned:
    ping |= {"limit": 1, "timeout": datetime.timedelta(seconds=1)}

checks = [
    "health_check.checks.Database",
    *(("health_check.checks.Cache", {"alias": alias}) for alias in aliases),
    ("health_check.contrib.redis.Redis", {"client_factory": redis(os.environ["REDIS"])}),
    ("health_check.contrib.redis.Redis", {"client_factory": redis(os.environ["REDIS2"] + "/0")}),
    ("health_check.contrib.rabbitmq.RabbitMQ", {"amqp_url": os.environ["BROKER"]}),
    ("health_check.contrib.celery.Ping", ping),
]
urlpatterns = [path("health/", HealthCheckView.as_view(checks=checks))]
