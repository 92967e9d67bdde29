import subprocess
import sys
import time
import warnings
from dataclasses import replace

import psutil
import pytest
import torch

from benchmarks import growth, harness, images, rivals, training
from benchmarks.cases import OURS, LeftOut, Settings
from vgglib import bench, plans
from vgglib.data import folder
from vgglib.models import VGG, LocalResponseNorm, load_torchvision
from vgglib.results import REPOSITORY

A56 = "net A, 56 pixels, width 1/64"


@pytest.fixture
def settings(tmp_path):
    return Settings(device="cpu", threads=1, folder=tmp_path / "scratch", small=True)


def contents(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_cases_are_listed_without_torch():
    code = (
        "import sys; from pathlib import Path; from benchmarks.cases import *\n"
        "from benchmarks import growth, training\n"
        "for device in ('cpu', 'cuda:0'):\n"
        "    [suite.cases(Settings(device, 2, Path())) for suite in (growth, training)]\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_cases_of_a_cpu_and_of_a_gpu(tmp_path):
    on_cpu = {case.name: case for case in training.cases(Settings("cpu", 2, tmp_path))}
    assert on_cpu["net A, 56 pixels, width 1/4"].limit == 3000
    assert on_cpu["net D, 56 pixels, width 1/4"].limit == 1700
    assert on_cpu["net D, 56 pixels, width 1/4"].contenders == (OURS, *rivals.RIVALS)
    on_gpu = {case.name: case for case in training.cases(Settings("cuda:0", 16, tmp_path))}
    assert on_gpu["net D, 56 pixels, width 1"].limit == 45_000
    assert "net D, 224 pixels, width 1" in on_gpu
    assert training.EAGER in on_gpu["a step on a ready batch, net D, 224 pixels, width 1"].contenders
    assert "threads" not in {case.name for case in growth.cases(Settings("cuda", 16, tmp_path))}


def test_cases_say_which_images_they_read(tmp_path):
    on_gpu = Settings("cuda:0", 16, tmp_path)
    assert {case.images for case in training.cases(on_gpu)} == {"drawn"}
    # Tiny ImageNet has 64 pixels, too few for crops of 224, and a step reads no files.
    tiny = {case.name for case in training.cases(replace(on_gpu, images=tmp_path)) if case.images == "tiny-imagenet"}
    assert tiny == {f"{what}, 56 pixels, width 1" for what in ("net A", "net D", "net A-LRN beside net A")}


@pytest.mark.parametrize("source", [False, True])
def test_an_epoch_of_the_trees_has_enough_steps_of_256(source, tmp_path):
    given = Settings("cpu", 2, tmp_path, tmp_path if source else None)
    assert images.tree(given).train_images // 256 == 16
    assert images.tree(replace(given, small=True)).train_images == 48
    on_gpu = replace(given, device="cuda")
    assert images.tree(on_gpu).train_images // 256 >= 128
    assert images.tree(on_gpu, 256).source is None  # Tiny ImageNet has no images of that size


def test_ours_is_trained_by_the_presets_recipe(tmp_path):
    given = training.work(Settings("cpu", 2, tmp_path), "D")
    (entry,) = plans.plan("tiny-imagenet", "3", ["D"], [0], ["256"], width=1 / 4, batch_size=256, epochs=2)
    assert training.experiment(given) == entry.runs[0].experiment
    imagenet = training.experiment(replace(given, crop=224, width=1.0))
    assert (imagenet.crop, imagenet.learning_rate, imagenet.initialisation) == (224, 0.01, "glorot")


def test_drawn_images_are_made_once_the_same_and_resumed(settings):
    wanted = images.tree(settings)
    images.make(wanted, 1)
    first = contents(wanted.path)
    loaded = folder.load(wanted.path)
    assert len(loaded.train) == wanted.train_images == 48 and len(loaded.class_names) == wanted.classes
    assert loaded.train.sizes.unique().tolist() == [64]

    marked = wanted.path / "train" / "dotted-disc" / "00000.JPEG"
    marked.write_bytes(b"not drawn again")
    images.make(wanted, 1)
    assert marked.read_bytes() == b"not drawn again"  # complete is complete

    marked.write_bytes(first["train/dotted-disc/00000.JPEG"])
    (wanted.path / "complete").unlink()
    lost = wanted.path / "val" / "plain-star"
    half = wanted.path / "unfinished" / "val" / "plain-star"
    half.parent.mkdir(parents=True)
    lost.rename(half)  # as an interruption in this class leaves it
    next(half.iterdir()).write_bytes(b"half")
    kept = (wanted.path / "train" / "plain-star").stat().st_mtime_ns
    images.make(wanted, 1)
    assert contents(wanted.path) == first
    assert (wanted.path / "train" / "plain-star").stat().st_mtime_ns == kept
    assert sorted(path.name for path in wanted.path.iterdir()) == ["complete", "train", "val"]


def test_pictures_of_val_are_none_of_train(settings):
    wanted = images.tree(settings)
    images.make(wanted, 1)
    found = contents(wanted.path)
    train, val = ({data for name, data in found.items() if name.startswith(split)} for split in ("train", "val"))
    assert len(train) == len(val) == 72 and not train & val


@pytest.fixture
def tiny(tmp_path):
    """Tiny ImageNet's zip with three classes, of each three images in train and two in val, which are bytes alone."""
    source = tmp_path / "tiny"
    (source / "val" / "images").mkdir(parents=True)
    (source / "wnids.txt").write_text("n3\nn1\nn2\n")
    for wnid in ("n1", "n2", "n3"):
        place = source / "train" / wnid / "images"
        place.mkdir(parents=True)
        for number in range(3):
            (place / f"{wnid}_{number}.JPEG").write_bytes(f"{wnid} {number}".encode())
    lines = []
    for number, wnid in enumerate(("n2", "n1", "n3", "n3", "n2", "n1")):
        (source / "val" / "images" / f"val_{number}.JPEG").write_bytes(f"val {number} {wnid}".encode())
        lines.append(f"val_{number}.JPEG\t{wnid}\t0\t0\t9\t9\n")
    (source / "val" / "val_annotations.txt").write_text("".join(lines))
    return source


def test_of_tiny_imagenet_the_files_themselves_are_taken(tiny, tmp_path):
    wanted = images.Tree(tmp_path / "tree", 64, classes=2, per_class=2, source=tiny)
    images.make(wanted, 1)
    assert contents(wanted.path) == {
        "complete": b"",
        "train/n1/n1_0.JPEG": b"n1 0",
        "train/n1/n1_1.JPEG": b"n1 1",
        "train/n2/n2_0.JPEG": b"n2 0",
        "train/n2/n2_1.JPEG": b"n2 1",
        "val/n1/val_1.JPEG": b"val 1 n1",
        "val/n1/val_5.JPEG": b"val 5 n1",
        "val/n2/val_0.JPEG": b"val 0 n2",
        "val/n2/val_4.JPEG": b"val 4 n2",
    }


@pytest.mark.parametrize(
    ("classes", "per_class", "asked"),
    [(4, 2, "4 with 2 and 2"), (3, 4, "3 with 4 and 4"), (3, 3, "3 with 3 and 3")],
    ids=["classes", "images of train", "images of val"],
)
def test_too_little_of_tiny_imagenet_is_refused_before_anything_is_copied(classes, per_class, asked, tiny, tmp_path):
    wanted = images.Tree(tmp_path / "tree", 64, classes, per_class, source=tiny)
    counts = rf"tiny has 3 classes with at least 3 images in train and 2 in val, and {asked} are timed"
    with pytest.raises(ValueError, match=rf"{counts}: .*--images"):
        images.make(wanted, 1)
    assert not wanted.path.exists()


@pytest.mark.parametrize("build", [rivals.torchvision_net, rivals.timm_net])
@pytest.mark.parametrize(("net", "crop"), [("A", 56), ("D", 56), ("A", 224)])
def test_nets_of_all_contenders_are_ours(build, net, crop, settings):
    work = replace(training.work(settings, net), crop=crop)
    theirs = build(work).eval()
    ours = VGG(net, work.classes, work.width, crop).eval()
    assert sum(w.numel() for w in theirs.parameters()) == sum(w.numel() for w in ours.parameters())
    # timm's head consists of convolutions; flattened their weights are those of linear layers.
    head = ("pre_logits", "classifier")
    state = {
        name: w.flatten(1) if name.startswith(head) and w.dim() > 1 else w for name, w in theirs.state_dict().items()
    }
    load_torchvision(ours, state)
    x = torch.randn(2, 3, crop, crop, generator=torch.Generator().manual_seed(0)) * 60
    with torch.inference_mode():
        expected = ours(x)
        torch.testing.assert_close(theirs(x), expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


def test_another_net_is_refused(settings):
    with pytest.raises(ValueError, match=r"net A has .* parameters here and 4 there"):
        rivals._same(training.work(settings, "A"), torch.nn.Linear(3, 1))


@pytest.mark.parametrize(("setup", "dropouts"), [(rivals.torchvision_as_shipped, 2), (rivals.timm_tuned, 2)])
def test_rivals_drop_as_much_as_ours(setup, dropouts, settings):
    rival = setup(training.work(settings, "A"))
    rates = [module.p for module in rival.net.modules() if isinstance(module, torch.nn.Dropout)]
    assert rates == [0.5] * dropouts


def test_an_epoch_of_every_rival_has_each_image_once(settings, monkeypatch):
    monkeypatch.setattr(rivals, "fast_workers", lambda work: 1)
    training.prepare(settings, training.cases(settings))
    work = replace(training.work(settings, "A"), batch=12)
    for setup in (rivals.torchvision_tuned, rivals.timm_tuned, rivals.tutorial):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*pin_memory.*")
            batches = list(setup(work).loader(72))
        assert [tuple(inputs.shape) for inputs, _ in batches] == [(12, 3, 56, 56)] * 6
        assert all(inputs.dtype == torch.float32 for inputs, _ in batches)
        assert torch.cat([labels for _, labels in batches]).bincount().tolist() == [3] * 24


def test_a_step_of_every_rival_moves_every_weight(settings):
    work = replace(training.work(settings, "A"), width=1 / 8)  # a narrower net may start with a layer that is silent
    torch.manual_seed(0)
    inputs, labels = torch.randn(16, 3, 56, 56), torch.arange(16)
    for name, setup in rivals.RIVALS.items():
        rival = setup(work)
        before = [weight.clone() for weight in rival.net.parameters()]
        rival.net.eval()  # a net this narrow may drop a whole layer
        rival.step(inputs, labels)
        moved = [not torch.equal(a, b) for a, b in zip(before, rival.net.parameters(), strict=True)]
        assert all(moved), name


def test_accuracies_by_hand():
    scores = torch.tensor([[9.0, 8, 7, 6, 5, 4], [4.0, 5, 6, 7, 8, 9]])
    assert rivals._accuracies(scores, torch.tensor([0, 1])) == (50, 100)
    assert rivals._accuracies(scores, torch.tensor([5, 1])) == (0, 50)


def test_an_epoch_with_too_few_steps_is_refused(settings):
    work = replace(training.work(settings, "A"), images=48)
    batch = (torch.zeros(16, 3, 56, 56), torch.zeros(16, dtype=torch.int64))
    short = rivals.Rival(torch.nn.Identity(), lambda images: [batch] * 2, lambda inputs, labels: None)
    with pytest.raises(ValueError, match="48 images had 2 steps of 16"):
        rivals.images_per_second(work, short)


@pytest.mark.filterwarnings("ignore:This DataLoader will create", "ignore:.*pin_memory")  # as shipped
def test_all_contenders_train_end_to_end(settings):
    case = next(case for case in training.cases(settings) if case.name == A56)
    assert case.contenders == (OURS, *rivals.RIVALS) == (OURS, *training.RIVALS)
    training.prepare(settings, [case])
    found = {contender: training.measure(A56, contender, settings) for contender in case.contenders}
    for values in found.values():
        assert values["value"] > 0 and values["seconds_to_first_step"] > 0 and 0 < values["peak_share"] < 1
    assert len({values["macs_per_image"] for values in found.values()}) == 1
    assert found[OURS]["loading_seconds"] > 0


def test_normalisation_is_compared_with_net_a_and_with_pytorchs(settings, monkeypatch):
    training.prepare(settings, training.cases(settings))
    trained = []
    monkeypatch.setattr(
        training, "_ours", lambda given: trained.append(VGG(given.net, 24, given.width, given.crop)) or {"value": 1.0}
    )
    monkeypatch.setattr(training, "_measured", lambda given, train: train(given))
    case = next(case for case in training.cases(settings) if "beside" in case.name)
    for contender in case.contenders:
        assert training.measure(case.name, contender, settings) == {"value": 1.0}
    ours, without, pytorchs = ([type(layer) for layer in net.features] for net in trained)
    assert LocalResponseNorm in ours and torch.nn.LocalResponseNorm in pytorchs
    assert not {LocalResponseNorm, torch.nn.LocalResponseNorm} & set(without)
    x = 60 * torch.rand(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    (theirs,) = (layer for layer in trained[2].features if isinstance(layer, torch.nn.LocalResponseNorm))
    torch.testing.assert_close(LocalResponseNorm(8)(x), theirs(x))


def test_timm_and_compilers_may_be_absent(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm.layers", None)
    with pytest.raises(LeftOut, match="pip install timm"):
        rivals.timm_as_shipped(training.work(settings, "A"))
    monkeypatch.setattr("vgglib.devices.compiles", lambda where, precision: False)
    step = f"a step on a ready batch, {A56}"
    assert training.measure(step, OURS, settings)["value"] > 0
    with pytest.raises(LeftOut, match="compiler"):
        training.measure(step, training.COMPILED, settings)


def test_time_is_counted_from_the_start_of_the_process():
    expected = time.time() - psutil.Process().create_time()
    assert training._process_seconds() == pytest.approx(expected, abs=1)


def test_points_of_growth_do_what_they_say(settings, monkeypatch):
    asked = []
    monkeypatch.setattr(growth, "_step", lambda **given: asked.append(given) or {"value": 1.0})
    whole = replace(settings, small=False, threads=6)
    for case in growth.cases(whole):
        for point in case.contenders if case.name != "Q" else ():
            growth.measure(case.name, point, whole)
    usual = {"net": "A", "width": 1 / 4, "crop": 56, "batch": 256, "threads": 6, "device": "cpu"}
    for changes in (
        {"batch": 16},
        {"crop": 112, "batch": 64},
        {"width": 1.0, "batch": 64},
        {"net": "E"},
        {"threads": 1},
        {"threads": 4},
        {},
    ):
        assert usual | changes in asked


def test_growth_is_measured(settings, tmp_path):
    harness.run(["growth"], settings, 1, pattern="batch size", force=True, root=tmp_path, say=lambda text: None)
    found = bench.values(bench.kept("growth", root=tmp_path))
    assert found["contender"].tolist() == ["2", "4"] and (found["value"] > 0).all()


def test_evaluation_grows_with_the_pixels(settings):
    found = [growth.measure("Q", point, settings) for point in ("224", "448")]
    assert all(one["value"] > 0 for one in found)
    assert found[1]["macs_per_image"] == pytest.approx(4 * found[0]["macs_per_image"], rel=0.2)


def test_trees_are_made_for_cases_that_read_them(settings):
    steps = [case for case in training.cases(settings) if case.name.startswith("a step")]
    training.prepare(settings, steps)
    assert not settings.folder.exists()
