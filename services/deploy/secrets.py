"""Makes `.env` from `.env.example` with secrets of its own; one that is there stays as it is. Needs Python alone.

python3 services/deploy/secrets.py
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

MADE = "made by the first start"
"""Stands in `.env.example` for a secret."""
PREFIXES = {"RNNLAB_ADMIN_TOKEN": "rnnlab_"}


def filled(example: str) -> str:
    """The example with a new secret wherever one is to be made."""
    lines = []
    for line in example.splitlines():
        name, _, value = line.partition("=")
        if value == MADE:
            line = f"{name}={PREFIXES.get(name, '')}{secrets.token_urlsafe(32)}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def main(root: Path) -> None:
    """Make the file, readable by its owner alone."""
    target = root / ".env"
    if target.exists():
        print(f"{target} is there and stays as it is", file=sys.stderr)
        return
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(filled((root / ".env.example").read_text()))
    print(f"made {target} with new secrets", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path.cwd())
