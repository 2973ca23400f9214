"""The figures by name: titles and captions. Knowing them takes no drawing library."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from analysis import stats, style
from analysis.results.comparison import MARGIN

_INTERVALS = f"95 % intervals (Student's t for fewer than {stats.FEW} seeds, else a bootstrap)"


# The paper's Fig. 4 leaves them out: a degenerate model, and one that is not competitive in time.
LEFT_OUT = ("energy_pool", "conv3d")


@dataclass(frozen=True, slots=True)
class Caption:
    """A figure's title and its caption, in complete sentences."""

    title: str
    caption: str
    of_models: Mapping[str, str] = field(default_factory=dict)  # a sentence for each that is there

    def text(self, models: Iterable[str]) -> str:
        """The caption of a figure of these models, by their labels."""
        found = {label.partition(" ")[0] for label in models}
        return " ".join(
            [self.caption, *(self.of_models[one] for one in self.of_models if one in found)]
        )


CAPTIONS: Mapping[str, Caption] = MappingProxyType(
    {
        "overview": Caption(
            "Test accuracy at a glance",
            f"Dots are means over seeds with {_INTERVALS}, the best three of a panel "
            "filled. Axes differ between panels.",
            {"standard": "The dotted line is the standard model."}
            | {
                model: f"{style.MODELS[model].name}, which the paper's Fig. 4 leaves out, is in "
                "the box plots."
                for model in LEFT_OUT
            },
        ),
        "generalization": Caption(
            "Test accuracy by object scale",
            "The line is the mean over seeds, the band one standard deviation to either side. "
            "Grey marks the scales the models were trained on. Runs that failed are in no mean.",
        ),
        "boxes": Caption(
            "Test accuracy of all runs",
            "The box is the middle half of the runs with the median, whiskers reach 1.5 times its "
            "length, dots lie outside, the cross is the mean.",
        ),
        "equivariance": Caption(
            "Equivariance error against accuracy",
            "Stage 2; dots are runs, markers the mean of a model's. The error is the mean over the "
            "test objects and the scale pairs of which the scenario trains on neither (All2All: "
            "all pairs). Only models whose stages have one map a channel have an error.",
        ),
        "correlation": Caption(
            "Does the chosen kernel size follow the object's size?",
            "Pearson's r of chosen kernel size and object scale over 48 scales, mean over test "
            "objects: boxes over the channels of all runs. An object for which a channel never "
            "changes its size has no r; the panel says how many.",
            {
                "pixel_pool": "Pixel Pool's channels without an answer above zero (see the index "
                "maps) all have one small r that means nothing."
            },
        ),
        "pooling": Caption(
            "Chosen kernel size against object size, closely",
            "One object, one run: a panel per channel, sorted by r. The run was chosen by test "
            "accuracy and so is better than a typical one; all runs are in the figure before.",
        ),
        "index-maps": Caption(
            "Where which kernel size is chosen",
            "One object at four sizes (rows), a column per channel. A pyramid is a channel without "
            "an answer above zero: there the zeros around a bigger kernel's answer are chosen, of "
            "the smallest kernel that has some at the pixel.",
        ),
        "ranks": Caption(
            "Average ranks",
            "Ranks by mean test accuracy, averaged over datasets and scenarios, 1 is best. A bar "
            "joins models that Nemenyi's test does not distinguish at 5 %. Only cells that all the "
            "models have can be ranked: what is left out is named.",
        ),
        "comparison": Caption(
            "Ours against the published results",
            "The difference of mean test accuracy with its 95 % interval, and the runs of ours in "
            "it (n) and not in it (failed); grey is the margin of "
            f"{100 * MARGIN:g} points within which a difference does not matter.",
        ),
        "learning": Caption(
            "Validation accuracy over training",
            "The mean over the seeds that still train; a line ends where half of them have "
            "stopped. Runs that failed are in no mean.",
        ),
        "time": Caption(
            "Time of training per epoch",
            "Seconds in training batches, without validation: mean over runs and epochs, "
            "logarithmic axis. Machines are not distinguished.",
        ),
    }
)
