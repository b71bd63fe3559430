from __future__ import annotations

import hashlib
import math
import platform
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from rnnlab.errors import DataError
from rnnlab.spec import TaskSpec
from rnnlab.tasks import characters
from rnnlab.tasks.characters import HELP, Characters, help_texts
from rnnlab.training.seeding import generator_for
from rnnlab.written import read_spec_file


def made(path: Path | None = None, **options: Any) -> Characters:
    given = {} if path is None else {"path": str(path)}
    return Characters(TaskSpec.model_validate({"kind": "characters", **given, **options}))


def spelled(task: Characters, numbers: list[int]) -> str:
    return "".join("?" if number == 0 else task.alphabet[number - 1] for number in numbers)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """1,000 characters: 800 train, 100 validate, 100 test; é and the line feed are frequent, ? is not there."""
    draw = torch.randint(0, 6, (1000,), generator=generator_for("text"))
    path = tmp_path / "text.txt"
    path.write_bytes("".join("abcé \n"[number] for number in draw).encode())
    return path


class TestAFile:
    def test_every_window_again(self, file: Path) -> None:
        """A slow twin: what is read and what is wanted, character by character."""
        text = file.read_bytes().decode()
        task = made(file, length=7)
        for part, (first, stop) in {"validation": (800, 900), "test": (900, 1000)}.items():
            batch = getattr(task, part)
            starts = range(first, stop - 7, 7)
            assert batch.x_TNI.shape == (7, len(starts), 7)
            for number, start in enumerate(starts):
                assert spelled(task, batch.x_TNI[:, number].argmax(-1).tolist()) == text[start : start + 7]
                assert spelled(task, batch.y_TN[:, number].tolist()) == text[start + 1 : start + 8]
        assert task.training.x_TNI.shape[1] == 793
        drawn = task.draw(generator_for(1), 50)
        for number in range(50):
            read = spelled(task, drawn.x_TNI[:, number].argmax(-1).tolist())
            assert read in text[:799]
            assert read[1:] == spelled(task, drawn.y_TN[:-1, number].tolist())

    def test_the_baseline_is_the_cross_entropy_of_the_training_frequencies(self, file: Path) -> None:
        text = file.read_bytes().decode()
        task = made(file, length=7)
        count = Counter(text[:800])
        for split, first in (("validation", 800), ("test", 900)):
            wanted = [text[start + t + 1] for start in range(first, first + 93, 7) for t in range(7)]
            losses = [-math.log((count[character] + 1) / (800 + 7)) for character in wanted]
            assert task.baseline(split) == pytest.approx(sum(losses) / len(losses), rel=1e-9)  # type: ignore[arg-type]
        assert task.lag == 6

    def test_a_character_that_training_never_saw_is_other(self, file: Path) -> None:
        text = file.read_bytes().decode()
        file.write_bytes((text[:950] + "Ж" * 5 + text[955:]).encode())
        task = made(file, length=7)
        assert "Ж" not in task.alphabet
        assert int((task.test.x_TNI[..., 0] == 1).sum()) in (5, 4)  # the last window's end may be cut off
        assert math.isfinite(task.baseline("test"))

    def test_the_rarest_share_a_number(self, tmp_path: Path) -> None:
        path = tmp_path / "many.txt"
        path.write_text(
            "".join(chr(0x4E00 + number % 300) * (2 if number % 300 < 255 else 1) for number in range(3000))
        )
        task = made(path, length=5)
        assert task.inputs == task.outputs == 256
        assert sorted(task.alphabet) == [chr(0x4E00 + number) for number in range(255)]

    def test_a_byte_order_mark_and_windows_line_ends(self, file: Path) -> None:
        plain = made(file, length=7)
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
        assert made(file, length=7).alphabet == plain.alphabet
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        assert "\r" in made(file, length=7).alphabet  # as it is: nothing is translated

    def test_a_path_is_beside_its_spec(self, file: Path) -> None:
        (file.parent / "spec.yaml").write_text("task: {kind: characters, path: text.txt}")
        assert read_spec_file(file.parent / "spec.yaml")["task"]["path"] == str(file)

    def test_what_is_wrong_is_said(self, file: Path) -> None:
        with pytest.raises(
            DataError, match=r"length 100 requires more than 100 characters in each held-out tenth, but .* 1,000"
        ):
            made(file, length=100)
        made(file, length=99)
        with pytest.raises(DataError, match=r"no file at .*texd.txt; did you mean 'text.txt'\?; correct `path`"):
            made(file.with_name("texd.txt"))
        with pytest.raises(DataError, match="is a directory; give the path of one text file"):
            made(file.parent)
        file.write_bytes(b"abc\xff" * 100)
        with pytest.raises(DataError, match=r"is not text in UTF-8 \(byte 4\)"):
            made(file)
        file.write_bytes(b"")
        with pytest.raises(DataError, match="is empty"):
            made(file)


class TestTheHelpTexts:
    def test_each_paragraph_stands_once(self) -> None:
        text = help_texts()
        paragraphs = [paragraph for paragraph in text.split("\n\n") if paragraph]
        assert len(paragraphs) > 2000
        assert len(set(paragraphs)) > 0.999 * len(paragraphs)
        assert 'The "assert" statement' in text

    def test_the_text_is_pinned(self) -> None:
        same = hashlib.sha256(help_texts().encode()).hexdigest() == HELP
        if platform.python_version() == "3.11.7":
            assert same
            assert len(help_texts()) == 373_215
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            made()
        assert bool(told) != same

    def test_another_text_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(characters, "HELP", "0" * 64)
        with pytest.warns(UserWarning, match=r"the help texts of Python 3\.\d+\.\d+ \(SHA-256 \w{12}\) are not those"):
            help_texts()

    def test_the_baseline_is_near_the_entropy_of_the_text(self) -> None:
        """Nats a character: the entropy of the whole text's own frequencies, from which a tenth may differ a little."""
        text, task = help_texts(), made()
        entropy = -sum(n / len(text) * math.log(n / len(text)) for n in Counter(text).values())
        for split in ("validation", "test"):
            assert task.baseline(split) == pytest.approx(entropy, rel=0.05)  # type: ignore[arg-type]
        assert 100 < task.outputs < 110
