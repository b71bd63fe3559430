"""Launches a recipe on the service beside it, waits for its end and prints what it found: the end of `make cluster`.

The admin's token comes on standard input, so that it stands on no command line and in no environment:

    grep ^RNNLAB_ADMIN_TOKEN= .env | docker compose exec -T service python -m services.deploy.first first 127.0.0.1:8000
"""

from __future__ import annotations

import sys
import time

from rnnlab.errors import PlaceError, RnnlabError
from services.api.models import SweepSeen
from services.client import Client
from services.deploy.healthy import ask

HERE = "http://127.0.0.1:8000"
"""The service, from inside its container."""
READY_WITHIN = 600.0
"""Seconds that the service gets to be ready."""


def ready() -> None:
    """Wait until the service and what is behind it answer.

    Raises:
        PlaceError: it does not come to that.
    """
    until = time.monotonic() + READY_WITHIN
    while True:
        try:
            return ask(f"{HERE}/api/ready")
        except OSError as error:
            if time.monotonic() > until:
                raise PlaceError(
                    f"the service must be ready within {READY_WITHIN:.0f} s, but: {error}; its log may say why: "
                    "docker compose logs service"
                ) from None
        time.sleep(2)


def run(client: Client, recipe: str) -> SweepSeen:
    """Launch a recipe, once however often this is asked, and follow it to its end."""
    sweep = client.launch(recipe=recipe, key=f"first-start-{recipe}")
    print(f"sweep {sweep.id}: {sweep.status}", flush=True)
    told = -1
    for news in client.watch(sweep.id):
        if isinstance(news, SweepSeen):
            if news.ended != told:
                told = news.ended
                print(f"  {news.status}, {news.ended} of {news.trials} trials", flush=True)
            sweep = news
    return sweep


def main(recipe: str, published: str) -> int:
    """Exit code: 0 where the sweep has finished."""
    token = sys.stdin.readline().strip().rpartition("=")[2]
    ready()
    with Client(HERE, token or None) as client:
        sweep = run(client, recipe)
        print(f"sweep {sweep.id} is {sweep.status}{f': {sweep.message}' if sweep.message else ''}\n")
        for number, finding in enumerate(client.findings(sweep.id)[:6], 1):
            print(f"{number}. {finding['text']}")
    print(f"\nservice  http://{published}/sweeps/{sweep.id}")
    print(f"MLflow   http://{published}/mlflow/")
    print(
        "token    RNNLAB_ADMIN_TOKEN in .env; make others with `rnnlab token make NAME` inside the service's container"
    )
    return 0 if sweep.status == "finished" else 1


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:3]))
    except RnnlabError as error:
        sys.exit(f"error: {error}")
