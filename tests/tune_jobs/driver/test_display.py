import io

from rich.console import Console

from tune_jobs.driver.display import Display
from tune_jobs.plan.cost import Expectation, Source
from tune_jobs.trial.outcome import TrialProgress


def text_of(write, *, terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200, color_system=None)
    with Display(2, cost=lambda: 0.0, console=console) as display:
        write(display)
    return console.file.getvalue()


def test_whatever_an_error_says_is_shown_as_it_is():
    error = "failed    disco: RuntimeError: [enforce fail at alloc.cpp:117] no [/data/x]"

    def write(display: Display) -> None:
        display.progressed(
            "disco [/b]", TrialProgress(epoch=0, max_epochs=9, valid_accuracy=None, resumed_at=None)
        )
        display.ended("disco [/b]", error, failed=True)

    for terminal in (False, True):
        assert f"{error} (1/2)" in text_of(write, terminal=terminal)


def test_a_paused_trial_is_not_counted_as_done():
    def write(display: Display) -> None:
        display.ended("a", "finished  a")
        display.paused("b", "paused    b")
        display.ended("c", "failed    c", failed=True)

    shown = text_of(write, terminal=False).splitlines()
    assert shown == ["finished  a (1/2)", "paused    b", "failed    c (2/2)"]
    assert "1 failed, 1 paused" in text_of(write, terminal=True)


def test_a_trial_that_goes_on_says_from_where():
    def write(display: Display) -> None:
        progress = TrialProgress(epoch=3, max_epochs=9, valid_accuracy=0.5, resumed_at=(4, 17))
        display.progressed("disco", progress)
        display.progressed("disco", progress)

    shown = text_of(write, terminal=False)
    assert shown.count("resumed   disco: from epoch 4, batch 17") == 1


def test_bars_say_what_tells_trials_apart_and_are_never_cut_at_80_columns():
    labels = [f"spatial_transform emoji-clutter s2 k=7 lr=0.001 seed={seed}" for seed in (1, 12)]
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    names = {label: label.replace(" s2 k=7 lr=0.001", "") for label in labels}
    with Display(2, name=names.__getitem__, cost=lambda: 2.5, console=console) as display:
        for label in labels:
            progress = TrialProgress(
                epoch=120, max_epochs=200, valid_accuracy=0.876, resumed_at=None
            )
            display.progressed(label, progress)
    shown = console.file.getvalue()
    assert "spatial_transform emoji-clutter seed=12" in shown
    assert "120/200 validation 87.6%" in shown
    assert "…" not in shown


def test_before_any_trial_has_got_far_the_time_left_is_the_expected_one():
    console = Console(file=io.StringIO(), force_terminal=True, width=200, color_system=None)
    expected = {
        label: Expectation(seconds=seconds, source=Source.TABLE, epochs=20)
        for label, seconds in (("a", 500.0), ("b", 700.0))
    }
    with Display(2, slots=2, forecast=expected, console=console):
        pass
    shown = console.file.getvalue()
    assert "2 trials: about 10 min, as plan expects" in shown
    assert "about 10 min left" in shown


def test_the_first_seconds_of_a_run_do_not_make_the_forecast_forgotten(monkeypatch):
    """Six trials of 20 s, two at once: half a trial in 5 s is known, 0.1 of one has taken 15 s."""
    now = 0.0
    monkeypatch.setattr("tune_jobs.driver.display.time.monotonic", lambda: now)
    console = Console(file=io.StringIO(), force_terminal=False, width=200, color_system=None)
    expected = {
        label: Expectation(seconds=20, source=Source.TABLE, epochs=20) for label in "abcdef"
    }
    with Display(6, slots=2, forecast=expected, console=console) as display:
        now = 15.0
        progress = TrialProgress(epoch=2, max_epochs=200, valid_accuracy=0.5, resumed_at=None)
        display.progressed("a", progress)
    # 20 s for 0.6 of a trial, 5.9 are left: 197 s; by what was seen alone it would be 885.
    assert "about 3 min left, 108 per hour" in console.file.getvalue()


def test_the_time_left_is_weighed_by_what_trials_are_expected_to_take(monkeypatch):
    """The costly trial is half done after 90 s: 45 of the 100 that both cost, so 110 s are left."""
    now = 0.0
    monkeypatch.setattr("tune_jobs.driver.display.time.monotonic", lambda: now)
    console = Console(file=io.StringIO(), force_terminal=False, width=200, color_system=None)
    expected = {
        "costly": Expectation(seconds=90, source=Source.TABLE, epochs=20),
        "cheap": Expectation(seconds=10, source=Source.TABLE, epochs=20),
    }
    with Display(2, forecast=expected, console=console) as display:
        now = 90.0
        display.progressed(
            "costly",
            TrialProgress(epoch=10, max_epochs=200, valid_accuracy=0.5, resumed_at=None),
        )
    assert "about 2 min left" in console.file.getvalue()
