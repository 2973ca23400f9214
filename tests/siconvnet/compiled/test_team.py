"""Threads that share the work of a layer: PyTorch's own, or others where those cannot be had."""

import os
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from siconvnet import PooledSiConv2d, ScalePool, SiConv2d, build_model
from siconvnet.compiled import library

MODELS = ("pixel_pool", "conv3d", "kanazawa", "disco")
RUNTIMES = {"PyTorch's threads": library.openmp_functions, "own threads": lambda: (None,) * 3}
IN_A_PROCESS_OF_ITS_OWN = """
import os, signal, sys, torch
from siconvnet import PooledSiConv2d, ScalePool, SiConv2d

signal.alarm(60)
layer = PooledSiConv2d(SiConv2d(1, 4, num_scales=4, kernel_size=5), ScalePool("pixel"))
x = torch.rand(2, 1, 20, 20)  # so small that PyTorch itself needs no second thread
torch.set_num_threads(1)
expected = layer(x)
torch.set_num_threads(3)
same = torch.equal(layer(x), expected)
if sys.argv[1] != "stay":
    child = os.fork()
    if child == 0:
        if sys.argv[1] == "fork and pin":  # a library that is first loaded here
            os.environ["SICONVNET_BACKEND"] = "compiled-portable"
            torch.set_num_threads(1)
            expected = layer(x)
            torch.set_num_threads(3)
        os._exit(7 if torch.equal(layer(x), expected) else 1)
    same &= os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
sys.exit(0 if same else 1)
"""


@pytest.fixture(params=RUNTIMES)
def _runtime(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    if not library.usable_instruction_sets():
        pytest.skip("no compiled loops on this machine")
    monkeypatch.setattr(library, "openmp_functions", RUNTIMES[request.param])
    library._chosen.cache_clear()
    yield
    library._chosen.cache_clear()


@pytest.fixture(autouse=True)
def _as_many_threads_afterwards():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def step(name: str) -> list[Tensor]:
    """Logits of a small batch and all gradients."""
    generator = torch.Generator().manual_seed(0)
    model = build_model(name, in_channels=1, num_classes=3)
    for parameter in model.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    logits = model(torch.rand(2, 1, 64, 64, generator=generator))
    logits.square().sum().backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    return [logits.detach(), *(gradient for gradient in gradients if gradient is not None)]


@pytest.mark.usefixtures("_runtime")
@pytest.mark.parametrize("name", MODELS)
def test_digits_depend_neither_on_how_many_threads_there_are_nor_on_whose(name):
    torch.set_num_threads(1)
    expected = step(name)
    for threads in (3, 2, 5):
        torch.set_num_threads(threads)
        assert all(map(torch.equal, step(name), expected)), threads


@pytest.mark.usefixtures("_runtime")
def test_several_threads_may_train_at_once_each_with_a_team():
    torch.set_num_threads(1)
    expected = step("disco")
    with ThreadPoolExecutor(3, initializer=torch.set_num_threads, initargs=(2,)) as pool:
        for found in pool.map(step, 9 * ["disco"]):
            assert all(map(torch.equal, found, expected))


# PyTorch's own operations, which serve otherwise, hang in a forked process.
@pytest.mark.skipif(not library.usable_instruction_sets(), reason="nothing was compiled")
@pytest.mark.parametrize(
    ("limit", "action"),
    [("1", "stay"), ("3", "fork"), ("3", "fork and pin")],
    ids=["fewer threads than asked", "forked", "forked, another library"],
)
def test_work_is_done_where_the_runtime_gives_no_threads(limit, action):
    environment = os.environ | {"OMP_THREAD_LIMIT": limit, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", IN_A_PROCESS_OF_ITS_OWN, action]
    subprocess.run(command, env=environment, check=True, timeout=120)


@pytest.mark.usefixtures("_runtime")
def test_digits_do_not_depend_on_threads_where_tiny_numbers_count_as_zero():
    torch.manual_seed(0)
    conv = SiConv2d(1, 16, num_scales=8, kernel_size=7, bias=False)
    stage, x = PooledSiConv2d(conv, ScalePool("pixel")), torch.rand(4, 1, 40, 40) * 1e-36
    torch.set_num_threads(2)
    exact = stage(x)  # its threads are there before the mode changes
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot")
    try:
        both = stage(x)
        torch.set_num_threads(1)
        assert torch.equal(both, stage(x))
    finally:
        torch.set_flush_denormal(False)
    assert not torch.equal(both, exact)


PRELOADED = """
import ctypes, sys
from siconvnet.compiled import library

given = ctypes.CDLL(sys.argv[1])
wanted = [ctypes.cast(getattr(given, name), ctypes.c_void_p) for name in library.OPENMP_FUNCTIONS]
sys.exit([found.value for found in library.openmp_functions()] != [each.value for each in wanted])
"""
RUNTIME = """
extern "C" void GOMP_parallel(void (*work)(void*), void* data, unsigned, unsigned) { work(data); }
extern "C" int omp_get_thread_num() { return 0; }
extern "C" int omp_get_num_threads() { return 1; }
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how Linux preloads")
def test_a_runtime_that_was_preloaded_serves_as_it_serves_pytorch(tmp_path):
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    if shutil.which(compiler[0]) is None:
        pytest.skip("no C++ compiler on this machine")
    source, preloaded = tmp_path / "runtime.cpp", tmp_path / "runtime.so"
    source.write_text(RUNTIME)
    subprocess.run([*compiler, "-shared", "-fPIC", source, "-o", preloaded], check=True)
    python_path = os.pathsep.join(sys.path)
    environment = os.environ | {"LD_PRELOAD": str(preloaded), "PYTHONPATH": python_path}
    command = [sys.executable, "-c", PRELOADED, preloaded]
    subprocess.run(command, env=environment, check=True, timeout=120)


def test_a_team_keeps_its_promises_however_many_threads_it_gets(tmp_path):
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    if shutil.which(compiler[0]) is None:
        pytest.skip("no C++ compiler on this machine")
    source = Path(__file__).with_name("team_check.cpp")
    sources = Path(library.__file__).parent / "src"
    command = [*compiler, "-std=c++17", "-O1", "-pthread", "-I", sources, source]
    subprocess.run([*command, "-o", tmp_path / "check"], check=True)
    for given in range(5):
        subprocess.run([tmp_path / "check", str(given)], check=True, timeout=60)
