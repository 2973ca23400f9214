"""A cell of the grid: the points that differ in learning rate and seed only."""

from dataclasses import dataclass

from tune_jobs.grid import GridPoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """What one learning rate is chosen for; the fields are GridPoint's."""

    model: str
    dataset: str
    scenario: int
    kernel_size: int
    interpolation: str | None

    @property
    def label(self) -> str:
        """A short name for a person."""
        return f"{self.model} {self.dataset} s{self.scenario}"

    def point(self, *, lr: float, seed: int) -> GridPoint:
        return GridPoint(
            model=self.model,
            dataset=self.dataset,
            scenario=self.scenario,
            kernel_size=self.kernel_size,
            interpolation=self.interpolation,
            lr=lr,
            seed=seed,
        )


@dataclass(frozen=True, slots=True)
class OpenPoint:
    """A point whose learning rate an earlier phase chooses."""

    cell: Cell
    seed: int


def cell_of(point: GridPoint | OpenPoint) -> Cell:
    """The cell that a point lies in."""
    if isinstance(point, OpenPoint):
        return point.cell
    return Cell(
        model=point.model,
        dataset=point.dataset,
        scenario=point.scenario,
        kernel_size=point.kernel_size,
        interpolation=point.interpolation,
    )
