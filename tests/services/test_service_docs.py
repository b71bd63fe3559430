"""docs/service.md and docs/security.md say what is so."""

from __future__ import annotations

import re
from pathlib import Path

from services.settings import ServiceSettings

ROOT = Path(__file__).parents[2]


def test_every_setting_is_told_as_it_describes_itself() -> None:
    text = (ROOT / "docs" / "service.md").read_text()
    for name, field in ServiceSettings.model_fields.items():
        row = re.search(rf"^\| `RNNLAB_{name.upper()}` \| (.*) \| (.*) \|$", text, re.MULTILINE)
        assert row, name
        default = field.get_default(call_default_factory=True)
        numeral = f"{default:,}" if type(default) is int and name != "port" else str(default).removesuffix(".0").lower()
        assert row[1] == ("none" if default in (None, []) else numeral), name
        assert row[2] == field.description


def test_every_protection_names_a_test_that_there_is() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    found = set(re.findall(r"`((?:tests/|hardening/)?[\w/]*test_\w+\.py)`", text))
    assert len(found) > 8
    for name in found:
        assert list(ROOT.glob(f"tests/**/{name.removeprefix('tests/')}")), name
