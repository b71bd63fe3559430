"""Brings both databases to their newest tables, and makes the admin's token: once, before anything else starts.

python -m services.deploy.migrate
"""

from __future__ import annotations

import os
import subprocess
import sys

from services.settings import Settings
from sweeps.home import Home
from sweeps.store.queue import Queue
from sweeps.store.tokens import Tokens


def main() -> None:
    """Read RNNLAB_LAB, MLFLOW_BACKEND_STORE_URI and RNNLAB_ADMIN_TOKEN."""
    settings = Settings()
    home = Home(settings.home, settings.lab, settings.mlflow)
    home.make()
    with Queue.open(home.lab_url) as lab:
        secret = os.environ.get("RNNLAB_ADMIN_TOKEN")
        if secret:
            Tokens(lab.engine).keep("admin", "admin", secret)
    store = os.environ.get("MLFLOW_BACKEND_STORE_URI")
    if store:
        subprocess.run([sys.executable, "-m", "mlflow", "db", "upgrade", store], check=True)
    print("both databases are at their newest tables")


if __name__ == "__main__":
    main()
