import pandas as pd

from analysis.figures.comparison import comparison


def test_each_cell_has_a_row_with_its_interval_and_verdict():
    table = pd.DataFrame(
        {
            "dataset": ["emoji", "mnist"],
            "scenario": [2, 2],
            "model": ["standard", "xu"],
            "difference": [0.01, -0.2],
            "low": [-0.01, -0.3],
            "high": [0.02, -0.1],
            "seeds": [9, 3],
            "failed": [0, 2],
            "test": ["paired", "pooled"],
            "verdict": ["agrees", "differs"],
        }
    )
    axes = comparison(table, margin=0.03).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [
        "Emoji, Mid2Rest, Standard (n = 9, paired)",
        "MNIST, Mid2Rest, Xu (n = 3, 2 failed, pooled)",
    ]
    marks = [(line.get_marker(), float(line.get_xdata()[0])) for line in axes.lines[1:]]
    assert marks == [("o", 1.0), ("X", -20.0)]
    [shade] = axes.patches
    assert (shade.get_x(), shade.get_width()) == (-3.0, 6.0)
