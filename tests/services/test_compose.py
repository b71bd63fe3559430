"""docker-compose.yml and .env.example name the same settings, with the service's own defaults."""

from __future__ import annotations

import re
from pathlib import Path

from services.settings import ServiceSettings

ROOT = Path(__file__).parents[2]
OF_THE_FILE = {"home", "lab", "mlflow", "host", "port", "tokens", "ray_dashboard", "workers"}
"""Settings that the compose file itself decides."""
OTHER_HERE = {"RNNLAB_DATA_FOLDERS": "/data/files"}
"""Where `.env.example` proposes another value than the service's default."""


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_every_variable_of_the_compose_file_is_told_and_used() -> None:
    files = [(ROOT / name).read_text() for name in ("docker-compose.yml", "docker-compose.gpu.yml")]
    used = set(re.findall(r"\$\{(\w+)", "".join(files)))
    assert used == set(example())


def test_every_setting_of_the_service_can_be_made_there() -> None:
    told = example()
    for name, field in ServiceSettings.model_fields.items():
        if name in OF_THE_FILE:
            continue
        key, default = f"RNNLAB_{name.upper()}", field.get_default(call_default_factory=True)
        plain = "" if default in (None, []) else str(default).removesuffix(".0").lower()
        assert told[key] == OTHER_HERE.get(key, plain)
        assert f"{key}: ${{{key}:-{plain}}}" in (ROOT / "docker-compose.yml").read_text(), key


def test_no_password_stands_in_a_file() -> None:
    secrets = {name: value for name, value in example().items() if re.search("PASSWORD|TOKEN|SECRET|ACCESS_KEY", name)}
    assert len(secrets) == 7
    assert set(secrets.values()) <= {"", "made by the first start"}
