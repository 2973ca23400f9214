"""The person who starts drivers and clean: at random moments, then until everything is finished."""

from lab.simulation.process import Process
from lab.simulation.service import Service
from tune_jobs.driver.phases import StudySummary
from tune_jobs.plan.leftovers import KEPT_SECONDS

LAST_RUNS = 5  # of the study without faults, until its end counts as not reached
LONGEST_RUN = 4 * 3600.0  # seconds
# Until processes that were stopped have gone on and ended, and weights may be removed.
QUIET_SECONDS = KEPT_SECONDS + 1200.0


def operate(service: Service) -> None:
    """Keep a study going as a person would, and clean up; the faults end on the way."""
    world, rng = service.world, service.world.rng
    service.start_driver()
    while world.now < world.faults.until:
        world.sleep(rng.uniform(20, 300))
        drawn, running = rng.random(), len(service.running)
        if drawn < (0.7, 0.2, 0.0)[min(running, 2)]:
            service.start_driver()
        elif drawn > 0.7:
            service.start_clean()
    world.heal()
    if not any(_finishes(service) for _ in range(LAST_RUNS)):
        world.violate("the study does not end though nothing goes wrong any more")
    world.sleep(QUIET_SECONDS)
    _wait(service, service.start_clean())
    for leftover in service.leftovers():
        world.violate(f"{leftover.key} is left: {leftover.reason}")


def _finishes(service: Service) -> bool:
    driver = service.start_driver(retry_failed=True)
    _wait(service, driver)
    return isinstance(driver.ended, StudySummary) and driver.ended.is_complete


def _wait(service: Service, process: Process) -> None:
    end = service.world.now + LONGEST_RUN
    while not process.is_over and service.world.now < end:
        service.world.sleep(20)
