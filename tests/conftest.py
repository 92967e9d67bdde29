import gc
import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from vgglib import runner
from vgglib.data.imageset import ImageSet, Split
from vgglib.experiments import Experiment
from vgglib.models import VGG
from vgglib.results import Store

# The files that take minutes begin first, so that no process is still at one when the others have finished.
# Backends first: ray gives its node fifteen seconds to start, too few on a busy machine.
LONG = ("test_backends", "test_site", "test_notebooks", "test_changed_records", "test_bench_training")
LONG += ("test_distributed", "test_worker", "test_bench_evaluation", "test_runner", "test_main")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture(autouse=True, scope="session")
def quick_collections():
    gc.freeze()  # what was imported is no garbage, and looking through it takes time again and again


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)  # small tensors, and results that do not depend on the machine's cores


@pytest.fixture(autouse=True)
def own_results(monkeypatch, tmp_path):
    """No test reads or writes the repository's records unless it says so."""
    monkeypatch.setenv("VGG_RESULTS", str(tmp_path / "results"))


@pytest.fixture
def extension(monkeypatch):
    """`extension(name)` imports one of the book's own extensions of Sphinx."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "book" / "extensions"))
    return importlib.import_module


@pytest.fixture
def store(tmp_path):
    """Where the records are that a test writes and the library reads: see `own_results`."""
    return Store(tmp_path / "results")


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test sets."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def house_style():
    """Figures in the style of the pages, closed after the test."""
    import matplotlib.pyplot as plt

    from vgglib import plots

    with plt.rc_context():
        plots.style()
        yield
        plt.close("all")


def split_of(colours, labels, shapes=((40, 48),)):
    """Images of one colour each; `shapes` (height, width) are taken in turn."""
    images = [
        np.broadcast_to(np.array(colour, np.uint8), (*shapes[i % len(shapes)], 3)) for i, colour in enumerate(colours)
    ]
    return Split.of(images, labels)


@pytest.fixture
def two_colours():
    """Dark and bright images of 40 x 48 pixels in two classes: easy to learn in a few steps."""
    rng = np.random.default_rng(0)

    def split(count):
        labels = np.arange(count) % 2
        return split_of(np.where(labels, 190, 60)[:, None] + rng.integers(-20, 20, (count, 3)), labels)

    return ImageSet.of("two colours", ("dark", "bright"), split(80), split(20))


@pytest.fixture
def images(monkeypatch, two_colours):
    """The images of every preset."""
    monkeypatch.setattr(runner, "load_images", lambda *_: two_colours)
    return two_colours


@pytest.fixture
def net_and_noise():
    """A tiny net whose cells differ, two images of noise, and the experiment that they could come from."""
    torch.manual_seed(0)
    model = VGG("A", num_classes=4, width=1 / 64, input_size=56).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.17)
    rng = np.random.default_rng(0)
    split = Split.of([rng.integers(0, 256, (*sides, 3), dtype=np.uint8) for sides in ((64, 64), (64, 96))], [2, 3])
    images = ImageSet("noise", tuple("abcd"), split, split, split)
    return model, images, Experiment("A", 0, resolution=1 / 4, width=1 / 64)
