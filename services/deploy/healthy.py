"""Health checks of containers: asks what a user would ask, through the host's name; exits 0 where it answers.

python -m services.deploy.healthy http://service:8000/api/ready
python -m services.deploy.healthy http://ray-head:8265/api/jobs/
"""

from __future__ import annotations

import os
import sys
from urllib.request import Request, urlopen

WITHIN = 15.0
"""Seconds for the answer."""


def ask(address: str) -> None:
    """Raises:
    OSError: it does not answer as it should.
    """
    headers, body = {"Content-Type": "application/json"}, None
    if "/mlflow/experiments/search" in address:
        body = b'{"max_results": 1}'
    elif "/api/jobs" in address:  # of Ray, which answers those alone who know its token
        headers["Authorization"] = f"Bearer {os.environ.get('RAY_AUTH_TOKEN', '')}"
    with urlopen(Request(address, body, headers), timeout=WITHIN) as answer:
        answer.read()


if __name__ == "__main__":  # the standard library alone: this starts anew every few seconds in each container
    try:
        ask(sys.argv[1])
    except (OSError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
