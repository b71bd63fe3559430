"""Health checks of containers: asks what a user would ask, through the host's name; exits 0 where it answers.

python -m services.deploy.healthy http://service:8000/api/ready
python -m services.deploy.healthy ray://ray-head:8265
"""

from __future__ import annotations

import sys

import httpx2 as httpx


def ask(address: str) -> None:
    """Raises:
    Exception: it does not answer as it should.
    """
    if address.startswith("ray://"):
        from ray.job_submission import JobSubmissionClient

        JobSubmissionClient(address.replace("ray://", "http://")).list_jobs()
    elif "/mlflow/experiments/search" in address:
        httpx.post(address, json={"max_results": 1}, timeout=15).raise_for_status()
    else:
        httpx.get(address, timeout=15).raise_for_status()


if __name__ == "__main__":
    try:
        ask(sys.argv[1])
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
