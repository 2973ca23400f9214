import numpy as np

from analysis.figures.ranks import critical_difference
from analysis.stats import ranking


def test_every_model_is_named_with_its_rank_and_bars_join_what_is_alike():
    scores = np.array([[9.0, 8.0, 2.0, 1.0]] * 8)
    found = ranking(scores, ["standard", "xu", "disco", "mine"])
    axes = critical_difference(found).axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert [text for text in texts if "." in text[-4:] or "." in text[:4]] == [
        "Standard  1.00",
        "Xu  2.00",
        "3.00  DISCO",
        "4.00  mine",
    ]
    assert "critical difference 1.66, 8 cells" in texts[-1]
    assert "average rank, 1 is best" in texts
    assert critical_difference(found, note="Left out: a.").get_supxlabel() == "Left out: a."
    bars = [c for c in axes.collections if c.get_linewidth()[0] == 3.5]
    assert len(bars) == len(found.alike) == 3
