import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import data, evaluation, harness, straightforward
from benchmarks.cases import OURS, LeftOut, Settings
from vgglib import bench, devices
from vgglib.data import ImageSet, Split, resample, shapes
from vgglib.ensemble import mean_posteriors
from vgglib.results import REPOSITORY

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Everything that measurements read is made once for all tests here."""
    found = Settings("cpu", 1, tmp_path_factory.mktemp("bench"), small=True)
    data.prepare(found, data.cases(found))
    return found


@pytest.fixture
def quick(monkeypatch):
    """Measurements in this process, which spares each of them the imports; threads stay as they are."""
    monkeypatch.setattr(devices, "prepare", lambda threads: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)


def record_of(suite, pattern, settings, root):
    harness.run([suite], settings, 1, pattern=pattern, force=True, root=root, say=lambda text: None)
    return bench.kept(suite, root=root)


def test_a_suite_leaves_a_record_of_the_ratio_of_both_methods(settings, tmp_path):
    record = record_of("evaluation", next(iter(evaluation.RATIOS)), settings, tmp_path)
    found = bench.summary(record).set_index("contender")["median"]
    assert list(found.index) == [OURS, evaluation.OUR_CROPS] and (found > 0).all()


def test_workers_of_a_loader_are_timed_in_a_process_of_their_own(settings, tmp_path):
    record = record_of("data", data.FIXED, settings, tmp_path)
    assert len(bench.summary(record)) == 3 and not record["cases"][0]["left_out"]
    assert set(bench.values(record, "images")["value"]) == {48}


@pytest.mark.parametrize("suite", [evaluation, data])
def test_every_contender_of_every_case_can_be_measured(suite, settings, quick):
    for case in suite.cases(settings):
        assert OURS in case.contenders and case.more_is_better
        for contender in case.contenders:
            try:
                found = suite.measure(case.name, contender, settings)
            except LeftOut:
                assert contender in (evaluation.ONE_BY_ONE_BF16, evaluation.BATCHED_BF16)
                assert not devices.multiplies_bf16(CPU)
                continue
            assert found["value"] == found["images"] / found["seconds"] > 0


def test_a_fusion_has_the_same_error_from_stored_posteriors_and_from_nets(settings, quick):
    errors = {
        contender: evaluation.measure(evaluation.FUSION, contender, settings)["top1_error_percent"]
        for contender in (OURS, evaluation.RUN_AGAIN)
    }
    assert errors[OURS] == errors[evaluation.RUN_AGAIN]


@pytest.fixture
def tested():
    """Runs of net D in fp32 at width 1/16, densely and by crops, and the net."""
    dense = [
        replace(run, experiment=replace(run.experiment, precision="fp32", width=1 / 16))
        for run in evaluation.runs("D", False, Settings("cpu", 1, None))
    ]
    crops = [replace(run, protocol=replace(run.protocol, method="multi-crop")) for run in dense]
    return dense, crops, evaluation.net(dense[0], CPU)


def drawn(side, aspect=None, count=6):
    """Images whose posteriors differ; `aspect` keeps only those of one width over height."""
    drawings = [one.image for one in shapes.draw(np.arange(200) % 24, range(200), side)]
    kept = [one for one in drawings if aspect is None or one.shape[1] / one.shape[0] == aspect]
    return Split.of(kept[:count], np.zeros(count))


def theirs(model, images, scales, crops, **options):
    stored = [images.image(i).numpy() for i in range(len(images))]
    plain = straightforward.plain(model, dense=not crops)
    if crops:
        return straightforward.crop_posteriors(plain, stored, images.mean_rgb, scales, CPU, model.input_size, **options)
    return straightforward.dense_posteriors(plain, stored, images.mean_rgb, scales, CPU, **options)


@pytest.mark.parametrize("crops", [False, True], ids=["dense", "crops"])
def test_ours_and_the_straightforward_way_agree_where_nothing_is_rescaled(tested, crops):
    runs, model = tested[crops], tested[2]
    images = drawn(72)  # of three shapes
    (ours,) = evaluation.ours(model, runs[2:], images, images.mean_rgb, CPU)
    found = theirs(model, images, [72], crops)
    rounding = 1e-3 * found.max()  # of posteriors that are stored as float16
    assert np.abs(ours - found).max() < rounding < found.std(0).min()


@pytest.mark.parametrize("crops", [False, True], ids=["dense", "crops"])
def test_ours_and_the_straightforward_way_agree_over_three_scales(tested, crops):
    runs, model = tested[crops], tested[2]
    images = drawn(96)
    ours = mean_posteriors(evaluation.ours(model, runs, images, images.mean_rgb, CPU))
    found = theirs(model, images, [56, 64, 72], crops)
    fewer = theirs(model, images, [56, 64], crops)
    # Pillow rounds to whole grey levels between rows and columns.
    assert np.abs(ours - found).mean() < 0.1 * np.abs(ours - fewer).mean()


def test_batches_change_nothing_about_the_straightforward_way(tested):
    images = drawn(72, count=9)
    one, many = (theirs(tested[2], images, [56, 72], False, batch_size=size) for size in (1, 4))
    assert np.allclose(one, many, rtol=1e-4, atol=0)


def test_bf16_crops_agree_with_fp32_to_its_precision(tested):
    images = drawn(64)
    exact, rounded = (theirs(tested[2], images, [64], True, precision=name) for name in ("fp32", "bf16"))
    assert 0 < np.abs(exact - rounded).max() < 0.5 * exact.std(0).mean()


@pytest.mark.parametrize("dense", [True, False])
def test_the_plain_net_has_the_same_weights_and_scores(tested, dense):
    model = tested[2].eval()
    plain = straightforward.plain(model, dense)
    assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in model.parameters())
    x = torch.randn(2, 3, 56, 56) * 60
    with torch.inference_mode():
        assert torch.allclose(plain(x), model.dense(x) if dense else model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", [data.JITTERED, data.FIXED, data.PHOTOGRAPHS], ids=["jitter", "fixed", "photographs"])
def test_contenders_give_crops_of_one_shape_and_kind_and_alike_in_content(case, settings):
    photographs = case == data.PHOTOGRAPHS
    torch.manual_seed(0)
    found = {}
    for contender in (OURS, data.WORKERS, data.RESIZED_CROP if photographs else data.ONE_BY_ONE):
        epoch = data.epochs(case, contender, settings, CPU)
        crops = torch.cat([batch.clone() for _ in range(4 if photographs else 16) for batch in epoch()])
        assert crops.shape[1:] == ((3, 224, 224) if photographs else (3, 56, 56))
        assert crops.dtype == (torch.uint8 if photographs else torch.float32)
        values = crops.double()
        found[contender] = [float(values.std()), float(values.diff(dim=3).abs().mean())]  # the finer, the larger
    for other in (data.WORKERS,) if photographs else (data.WORKERS, data.ONE_BY_ONE):
        assert found[OURS] == pytest.approx(found[other], rel=0.05)


def pool(images, scales, ours, count=1):
    """Crops of 56 pixels of some images in memory, as ours and as torchvision's transforms make them."""
    found = ImageSet("squares", ("one",), images, images, images)
    torch.manual_seed(0)
    epoch = data._ours(found, 56, scales, CPU, 5) if ours else data._theirs(found, scales, 0, 5)
    return torch.cat([batch for _ in range(count) for batch in epoch()])


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "theirs"])
@pytest.mark.parametrize("side, scales, tolerance", [(56, None, 1e-3), (96, (56, 56), 1.01)], ids=["fixed", "rescaled"])
def test_crops_of_whole_images_are_the_images_or_their_mirror_images_with_shifted_colours(
    ours, side, scales, tolerance
):
    images = drawn(side, aspect=1, count=12)
    whole = [resample.rescale(images.image(i), 56).permute(2, 0, 1).float() for i in range(len(images))]
    seen, mirrored = [], 0
    for crop in pool(images, scales, ours):
        off = torch.tensor([[spread(crop - one) for one in (image, image.flip(2))] for image in whole])
        assert off.min() < tolerance
        seen.append(int(off.argmin()) // 2)
        mirrored += int(off.argmin()) % 2
    assert sorted(seen) == list(range(12)) and 0 < mirrored < 12


def spread(difference):
    """How far (3, H, W) is from one colour, in grey levels."""
    return float((difference - difference.flatten(1).median(1).values[:, None, None]).abs().max())


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "theirs"])
def test_colours_shift_by_a_tenth_of_the_principal_components(ours):
    images = drawn(56, aspect=1, count=1).subset([0] * 400)
    components = ImageSet("square", ("one",), images, images, images).rgb_components
    shifts = pool(images, None, ours, count=4).mean((2, 3))  # apart from what all have in common
    expected = 0.01 * components @ components.T
    assert torch.allclose(torch.cov(shifts.T), expected, rtol=0, atol=0.1 * float(expected.diagonal().mean()))


def test_what_no_case_reads_is_not_made(settings, tmp_path):
    cases = {case.name: case for case in data.cases(settings)}
    for names, made in (((data.FIXED, data.JITTERED), ["drawn-48.npz"]), ((data.PHOTOGRAPHS,), ["few-photographs"])):
        folder = tmp_path / made[0]
        folder.mkdir()
        data.prepare(replace(settings, folder=folder), [cases[name] for name in names])
        assert [path.name for path in folder.iterdir()] == made


def test_only_photographs_need_what_a_bare_machine_lacks(settings, monkeypatch, tmp_path):
    monkeypatch.setattr(data, "find_spec", lambda name: None if name == "psutil" else name)
    bare = replace(settings, folder=tmp_path)
    data.prepare(bare, data.cases(bare))
    assert len(data.drawn(bare)) == 48
    with pytest.raises(LeftOut, match="psutil is not installed"):
        data._work(data.PHOTOGRAPHS, OURS, bare, CPU)


def test_bf16_is_left_out_where_it_has_no_units(settings, monkeypatch):
    monkeypatch.setattr(devices, "multiplies_bf16", lambda where: False)
    with pytest.raises(LeftOut, match="no bf16 units"):
        evaluation.evaluation(evaluation.CROPS, evaluation.ONE_BY_ONE_BF16, CPU, settings)


def test_listing_the_cases_imports_no_torch():
    code = "import sys; from pathlib import Path; from benchmarks import cases, data, evaluation\n"
    code += "for suite in (data, evaluation): assert suite.cases(cases.Settings('cpu', 2, Path()))\n"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
