from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss
from vega_datasets import data

from rnnlab.spec import TaskSpec
from rnnlab.tasks.weather import Weather

FIRST = {"training": "2012-01-01", "validation": "2014-01-01", "test": "2015-01-01"}
LAST = {"training": "2013-12-31", "validation": "2014-12-31", "test": "2015-12-31"}


def weather(length: int = 60) -> Weather:
    return Weather(TaskSpec.model_validate({"kind": "weather", "length": length}))


@pytest.fixture(scope="module")
def days() -> pd.DataFrame:
    """The wheel's file by another way than the task reads it, by date."""
    return pd.read_csv(Path(data.seattle_weather.filepath), parse_dates=["date"]).set_index("date")


def test_the_file_has_every_day_once_and_623_wet_ones(days: pd.DataFrame) -> None:
    assert len(days) == 1461
    assert days.index.equals(pd.date_range("2012-01-01", "2015-12-31", name="date"))
    assert int((days["precipitation"] > 0).sum()) == 623


@pytest.mark.parametrize("length", [31, 60, 300])
def test_windows_begin_at_every_day_that_has_room(length: int) -> None:
    task = weather(length)
    counts = [part.x_TNI.shape[1] for part in (task.training, task.validation, task.test)]
    assert counts == [731 - length, 365 - length, 365 - length]
    assert task.lag == 30


@pytest.mark.parametrize("part", ["training", "validation", "test"])
def test_windows_and_targets_stay_in_their_years(days: pd.DataFrame, part: str) -> None:
    """A slow twin: the first, a middle and the last window again, day by day, from the file."""
    task = weather(40)
    batch = getattr(task, part)
    count = batch.x_TNI.shape[1]
    inside = days[FIRST[part] : LAST[part]]
    known = days[FIRST["training"] : LAST["training"]]
    columns = {"precipitation": np.log1p, "temp_max": float, "temp_min": float, "wind": float}
    for window in (0, count // 2, count - 1):
        for t in range(40):
            today, tomorrow = inside.iloc[window + t], inside.iloc[window + t + 1]  # outside would raise
            expected = []
            for name, of in columns.items():
                values = np.array([of(value) for value in known[name]])
                expected.append((of(today[name]) - values.mean()) / values.std())
            angle = 2 * np.pi * pd.Timestamp(today.name).day_of_year / 365.25
            expected += [np.sin(angle), np.cos(angle)]
            np.testing.assert_allclose(batch.x_TNI[t, window], expected, rtol=1e-4, atol=1e-6)  # float32
            assert float(batch.y_TN[t, window]) == float(tomorrow["precipitation"] > 0)
    assert window + t + 1 == len(inside) - 1  # the very last target is the part's last day


def test_training_days_alone_are_standardised() -> None:
    task = weather()
    training = task._x_RI[:731, :4].double()
    torch.testing.assert_close(training.mean(0), torch.zeros(4).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(training.std(0, correction=0), torch.ones(4).double(), atol=1e-6, rtol=0)
    assert (task._x_RI[731:, :4].mean(0).abs() > 0.01).any()


@pytest.mark.parametrize(("split", "expected"), [("validation", 0.677174), ("test", 0.668458)])
def test_the_baseline_is_the_log_loss_of_the_training_share(days: pd.DataFrame, split: str, expected: float) -> None:
    task = weather()
    wet = days["precipitation"] > 0
    share = float(wet["2012-01-02":"2013-12-31"].mean())
    assert share == pytest.approx(329 / 730)
    y_TN = getattr(task, split).y_TN.numpy()
    loss_T = [log_loss(y, np.full(len(y), share), labels=[0, 1]) for y in y_TN]
    np.testing.assert_allclose(task.baseline_by_timestep(split), loss_T, rtol=1e-9)
    assert task.baseline(split) == pytest.approx(expected, abs=1e-6)
    assert task.baseline(split) == pytest.approx(float(np.mean(loss_T)), rel=1e-9)


def test_the_spoilt_column_is_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    task = weather()
    task._frame = task._frame.drop(columns="weather")
    assert torch.equal(task.test.x_TNI, weather().test.x_TNI)
