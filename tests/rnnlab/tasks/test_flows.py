"""Mackey-Glass and Lorenz: the numbers of the flow, and the windows that are cut from it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.integrate import solve_ivp

from rnnlab.choices import choose
from rnnlab.spec import TaskSpec
from rnnlab.tasks import TASKS, lorenz, mackey_glass
from rnnlab.tasks.forecast import TRAJECTORIES, ForecastTask


def task_of(kind: str, **options: object) -> ForecastTask:
    task = choose(TASKS, kind).load()(TaskSpec.model_validate({"kind": kind, **options}))
    assert isinstance(task, ForecastTask)
    return task


def reference(tau: int, until: int) -> npt.NDArray[np.float64]:
    """x of Mackey-Glass at t = 0, 1, ..., from x = 1.2 before, by scipy and the method of steps."""
    pieces: list[object] = []

    def past(t: float) -> float:
        return 1.2 if t <= 0 else float(pieces[min(int(t // tau), len(pieces) - 1)](t)[0])  # type: ignore[operator]

    def slope(t: float, x: npt.NDArray[np.float64]) -> list[float]:
        return [0.2 * past(t - tau) / (1 + past(t - tau) ** 10) - 0.1 * x[0]]

    seen = [1.2]
    for begin in range(0, until, tau):
        times = np.arange(begin + 1, begin + tau + 1)
        done = solve_ivp(
            slope, (begin, begin + tau), [seen[-1]], "DOP853", times, dense_output=True, rtol=1e-9, atol=1e-11
        )
        pieces.append(done.sol)
        seen.extend(done.y[0])
    return np.array(seen)


class TestMackeyGlass:
    def test_against_scipy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        expected = reference(17, 340)
        errors = []
        for per_unit in (2, 4, 8):
            monkeypatch.setattr(mackey_glass, "PER_UNIT", per_unit)
            history = np.full((17 * per_unit + 1, 1), 1.2)
            x = mackey_glass.integrated(history, 17, 340 * per_unit)[17 * per_unit :: per_unit, 0]
            errors.append(float(np.abs(x - expected).max()))
        # a fourth at half the step, not a sixteenth: history and future meet in a corner
        assert errors[1] < 1e-3
        assert errors[0] / errors[1] > 3.5
        assert errors[1] / errors[2] > 3.5

    def test_a_fixed_point_stays(self) -> None:
        """x = 1 solves .2 x / (1 + x^10) = .1 x."""
        x = mackey_glass.integrated(np.ones((69, 2)), 17, 400)
        np.testing.assert_allclose(x, 1, rtol=1e-12)

    def test_readings_follow_the_equation(self) -> None:
        """On the attractor, read every unit: x(t + 1) by scipy from what was read, interpolated."""
        x = mackey_glass.trajectories(3, 60, 17, 1)[1]
        from scipy.interpolate import CubicSpline

        past = CubicSpline(np.arange(60), x)
        slope = lambda t, now: 0.2 * past(t - 17) / (1 + past(t - 17) ** 10) - 0.1 * now  # noqa: E731
        done = solve_ivp(slope, (20, 55), [x[20]], t_eval=np.arange(20, 56), rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(done.y[0], x[20:56], atol=2e-3)  # the spline's error

    def test_the_known_range_and_spread(self) -> None:
        x = mackey_glass.trajectories(96, 201, 17, 6)
        assert 0.2 < x.min() < 0.5
        assert 1.2 < x.max() < 1.4
        assert x.std() == pytest.approx(0.226, abs=0.01)

    @pytest.mark.parametrize(("options", "lag"), [({}, 3), ({"sample": 1}, 17), ({"sample": 1, "tau": 30}, 30)])
    def test_the_lag_is_the_delay(self, options: dict[str, int], lag: int) -> None:
        assert task_of("mackey_glass", **options).lag == lag


class TestLorenz:
    def test_against_scipy(self) -> None:
        begin = lorenz.beginnings(1)
        flow = lambda t, state: lorenz.flow(state[:, None])[:, 0]  # noqa: E731
        slow = lambda t, s: [10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]]  # noqa: E731
        np.testing.assert_allclose(flow(0, begin[:, 0]), slow(0, begin[:, 0]), rtol=1e-12)
        done = solve_ivp(slow, (0, 2), begin[:, 0], "DOP853", np.arange(0, 2.001, 0.02), rtol=1e-10, atol=1e-12)
        seen = lorenz.trajectories(1, 101)[0]
        # the step's error grows e^(.9 t); over two units it stays below a thousandth of the range
        np.testing.assert_allclose(seen, done.y.T, atol=0.03)

    def test_the_step_is_of_fourth_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        begin = np.array([[1.0], [2.0], [20.0]])
        slow = lambda t, s: [10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]]  # noqa: E731
        expected = solve_ivp(slow, (0, 0.4), begin[:, 0], "DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
        errors = []
        for step in (0.02, 0.01, 0.005):
            monkeypatch.setattr(lorenz, "STEP", step)
            state = begin
            for _ in range(round(0.4 / step)):
                state = lorenz.stepped(state)
            errors.append(float(np.abs(state[:, 0] - expected).max()))
        assert errors[0] / errors[1] == pytest.approx(16, rel=0.25)
        assert errors[1] / errors[2] == pytest.approx(16, rel=0.25)

    def test_the_largest_lyapunov_exponent(self) -> None:
        """Benettin: neighbours 1e-7 apart, brought back every 0.1 units; 400 pairs over 40 units."""
        state = lorenz.beginnings(400)
        other = state + 1e-7 * np.array([[1.0], [0.0], [0.0]])
        total, counted = 0.0, 0
        for step in range(1, 4401):
            state, other = lorenz.stepped(state), lorenz.stepped(other)
            if step % 10 == 0:
                apart = other - state
                distance = np.sqrt((apart**2).sum(0))
                if step > 400:  # the first steps turn the neighbours to where they part
                    total, counted = total + float(np.log(distance / 1e-7).mean()), counted + 1
                other = state + apart * 1e-7 / distance
        assert total / (counted * 0.1) == pytest.approx(0.906, abs=0.012)

    def test_what_is_observed(self) -> None:
        alone, whole = task_of("lorenz"), task_of("lorenz", observe="xyz")
        assert (alone.inputs, alone.outputs, alone.lag) == (1, 1, 37)
        assert (whole.inputs, whole.outputs, whole.lag) == (3, 3, 1)
        assert torch.equal(alone.test.x_TNI[..., 0], whole.test.x_TNI[..., 0])


@pytest.mark.parametrize("kind", ["lorenz", "mackey_glass"])
@pytest.mark.parametrize("ahead", [1, 14])
class TestWindows:
    def test_trajectories_are_the_same_every_time_and_all_different(self, kind: str, ahead: int) -> None:
        samples = 20
        module = lorenz if kind == "lorenz" else mackey_glass
        made = module.trajectories.__wrapped__
        more = (17, 6) if kind == "mackey_glass" else ()
        first, again = made(96, samples, *more), made(96, samples, *more)
        assert np.array_equal(first, again)
        flat = first.reshape(96, -1)
        distance = np.abs(flat[:, None] - flat[None]).max(-1) + np.eye(96) * 99
        assert distance.min() > 0.005 * flat.std()

    def test_every_target_is_the_reading_ahead_of_the_same_trajectory(self, kind: str, ahead: int) -> None:
        """A slow twin: all windows of validation again, from the trajectories."""
        task = task_of(kind, length=6, ahead=ahead)
        samples = 12 + ahead
        x_MR = task.observed(96, samples)[..., 0]
        training = x_MR[: TRAJECTORIES["training"]]
        x_MR = (x_MR - training.mean()) / training.std()
        expected = [
            (x_MR[one, start : start + 6], x_MR[one, start + ahead : start + ahead + 6])
            for one in range(64, 80)
            for start in range(7)
        ]
        batch = task.validation
        assert batch.x_TNI.shape[1] == len(expected)
        for number, (x, y) in enumerate(expected):
            np.testing.assert_allclose(batch.x_TNI[:, number, 0], x, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(batch.y_TN[:, number, 0], y, rtol=1e-5, atol=1e-6)

    def test_the_baseline_is_the_better_trivial_guess(self, kind: str, ahead: int) -> None:
        task = task_of(kind, ahead=ahead)
        for split in ("validation", "test"):
            batch = getattr(task, split)
            mean = float(batch.y_TN.double().square().mean())
            persistence = float((batch.y_TN.double() - batch.x_TNI).square().mean())
            assert task.baseline(split) == pytest.approx(min(mean, persistence), rel=1e-6)  # type: ignore[arg-type]
            assert task.persists == (persistence < mean)
        y_TN = task.training.y_TN.double()
        assert float(y_TN.mean()) == pytest.approx(0, abs=0.05)
        assert float(y_TN.square().mean()) == pytest.approx(1, abs=0.05)
