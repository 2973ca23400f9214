import numpy as np
import pandas as pd
import pytest

from analysis import AnalysisError
from analysis.results.summary import contrasts, ranked, summarised

NOT_ONE = pd.DataFrame(columns=["model", "dataset", "scenario"])  # failed


def trials_of(**scores: list[float]) -> pd.DataFrame:
    """Reported trials on emoji, scenario 2: for each model the accuracies of seeds 1, 2, ..."""
    rows = [
        {
            "model": model,
            "dataset": "emoji",
            "scenario": 2,
            "lr": 1e-3,
            "seed": seed,
            "test_accuracy": score,
            "best_valid_accuracy": 0.9,
            "collapsed": score < 0.05,
            "epochs": 10,
            "train_seconds": 2.0,
            "epoch_seconds": 4.0,
            "last_train_seconds": 1.0 + seed,
        }
        for model, values in scores.items()
        for seed, score in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows)


def test_a_cells_row_holds_its_means_and_its_collapsed_runs():
    trials = trials_of(standard=[0.4, 0.5, 0.6, 0.01])
    [row] = summarised(trials, NOT_ONE, rng=np.random.default_rng(0)).to_dict("records")
    assert row["mean"] == pytest.approx(0.3775)
    assert row["mean_low"] < 0.3775 < row["mean_high"]
    assert row["median"] == pytest.approx(0.45)
    assert (row["seeds"], row["collapsed"]) == (4, 1)
    assert row["collapsed_low"] == pytest.approx(0.0456, abs=1e-4)
    assert row["last_train_seconds"] == 3.5


def test_one_seed_has_a_mean_and_no_interval():
    [row] = summarised(trials_of(standard=[0.4]), NOT_ONE, rng=np.random.default_rng(0)).to_dict(
        "records"
    )
    assert row["mean"] == 0.4
    assert np.isnan(row["mean_low"])


def test_every_two_models_are_contrasted_once_with_corrected_p_values():
    table = contrasts(trials_of(standard=[0.1, 0.2], xu=[0.6, 0.8, 0.7], disco=[0.1, 0.3]))
    assert table[["model", "other_model"]].to_numpy().tolist() == [
        ["standard", "xu"],
        ["standard", "disco"],
        ["xu", "disco"],
    ]
    assert table["difference"].tolist() == pytest.approx([-0.55, -0.05, 0.5])
    assert (table["welch_p_holm"] >= table["welch_p"]).all()
    assert table["welch_p_holm"].min() == pytest.approx(3 * table["welch_p"].min())


def test_a_model_with_one_run_is_in_no_contrast():
    assert contrasts(trials_of(standard=[0.1, 0.2], xu=[0.6])).empty


def test_models_are_ranked_over_the_cells_that_all_of_them_have():
    first = trials_of(standard=[0.1], xu=[0.3], disco=[0.2])
    second = first.assign(dataset="mnist")
    partial = trials_of(standard=[0.9], xu=[0.1]).assign(dataset="aerial")
    found = ranked(pd.concat([first, second, partial]))
    assert found.ranking.cells == 2
    assert found.ranking.ranks == {"xu": 1.0, "disco": 2.0, "standard": 3.0}
    assert found.note == "Left out, as not all models have runs there: Aerial Mid2Rest."


def test_one_run_of_another_model_does_not_take_the_ranking_away():
    cells = [
        trials_of(standard=[0.1], xu=[0.3], disco=[0.2]).assign(scenario=scenario)
        for scenario in (1, 2, 3, 4)
    ]
    found = ranked(pd.concat([*cells, trials_of(mine=[0.9])]))
    assert (found.ranking.cells, set(found.ranking.ranks)) == (4, {"standard", "xu", "disco"})
    assert found.note == "Not ranked, for lack of cells: mine."


def test_two_models_that_share_no_cell_with_the_others_are_left_out_both():
    """Leaving out either of them alone helps nothing."""
    cells = [trials_of(standard=[0.1], xu=[0.3], disco=[0.2]).assign(scenario=s) for s in (1, 2, 3)]
    others = trials_of(mine=[0.9], yours=[0.8]).assign(scenario=4)
    found = ranked(pd.concat([*cells, others]))
    assert found.left_out == ("mine", "yours")
    assert found.ranking.cells == 3


@pytest.mark.parametrize(
    "trials",
    [
        trials_of(standard=[0.1], xu=[0.3], disco=[0.2]),
        pd.concat(
            [
                trials_of(standard=[0.1], xu=[0.3]),
                trials_of(standard=[0.1], xu=[0.3]).assign(scenario=1),
            ]
        ),
    ],
)
def test_one_cell_or_two_models_are_not_ranked(trials):
    with pytest.raises(AnalysisError, match="three models or more that share two cells"):
        ranked(trials)
