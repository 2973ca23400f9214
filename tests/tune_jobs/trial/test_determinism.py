import os
import random

import numpy as np
import pytest
import torch

from tune_jobs.trial.determinism import begin_alike


def test_a_trial_begins_in_the_same_state_whatever_the_process_did_before():
    def drawn() -> list[float]:
        return [random.random(), np.random.rand(), torch.rand(()).item()]  # noqa: NPY002

    threads = torch.get_num_threads()
    try:
        begin_alike(3, threads=1, device="cpu")
        expected = drawn()
        torch.use_deterministic_algorithms(True)  # as a trial on a GPU leaves it
        torch.set_num_threads(threads + 1)
        drawn()
        begin_alike(3, threads=1, device="cpu")
        assert drawn() == expected
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)


def test_a_trial_on_a_gpu_asks_for_one_order_of_its_sums(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")  # so that it is unset again after the test
    threads = torch.get_num_threads()
    try:
        begin_alike(3, threads=threads, device="cuda")  # needs no GPU: none is used yet
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        begin_alike(3, threads=threads, device="cpu")
