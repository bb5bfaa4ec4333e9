"""`python -m django_egnyte.sandbox`: a sandbox without Django."""

from __future__ import annotations

import argparse
import functools

from .commandline import DEFAULT_PORT, serve

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m django_egnyte.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 chooses a free port")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    options = parser.parse_args()
    try:
        serve(options.port, options.host, functools.partial(print, flush=True))
    except (ValueError, OSError) as error:
        parser.error(str(error))
