"""The test site with one shared sandbox and short timeouts."""

from __future__ import annotations

import os
from datetime import timedelta

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

from .egnyte import READ_TIMEOUT

INSTALLED_APPS = [*INSTALLED_APPS, "tests.conservation.witness.WitnessConfig"]
SECRET_KEY = "a secret of the conservation test, thirty-two characters and more"
ALLOWED_HOSTS = ["testserver"]
EGNYTE_BASE_URL = os.environ["CONSERVATION_EGNYTE"]
EGNYTE_CLIENT_ID = "sandbox-code-key"
EGNYTE_CLIENT_SECRET = "sandbox-code-secret"
EGNYTE_TIMEOUT = (2.0, READ_TIMEOUT)
EGNYTE_MAX_RETRIES = 1
EGNYTE_MAX_THROTTLE_WAIT = 1
EGNYTE_TOKEN_REQUESTS_PER_HOUR = 1_000_000
EGNYTE_VALIDATE_EVERY = timedelta(seconds=20)

CELERY_TASK_DEFAULT_QUEUE = os.environ["CONSERVATION_QUEUE"]
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 3, "socket_connect_timeout": 2}
LOGGING = {"version": 1, "disable_existing_loggers": False}
