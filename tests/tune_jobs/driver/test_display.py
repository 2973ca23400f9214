import io

from rich.console import Console

from tune_jobs.driver.display import Display
from tune_jobs.plan.cost import Expectation, Source
from tune_jobs.trial.outcome import TrialProgress


def text_of(write, *, terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200, color_system=None)
    with Display(2, price=3.0, console=console) as display:
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
    assert "about 1:50 min left" in console.file.getvalue()
