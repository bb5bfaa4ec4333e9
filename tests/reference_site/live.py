"""Settings for a server that a test starts: the reference site with the sandbox of the test."""

from __future__ import annotations

import os

from tests.reference_site.settings import *  # noqa: F403

EGNYTE_BASE_URL = os.environ["EGNYTE_TEST_BASE_URL"]
EGNYTE_CLIENT_ID = "sandbox-code-key"
EGNYTE_CLIENT_SECRET = "sandbox-code-secret"
