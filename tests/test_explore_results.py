import json
import re

import numpy as np
import pytest
from bs4 import BeautifulSoup
from test_explore import in_browser, parts, texts
from test_results import record

from vgglib import explore_results, tables
from vgglib.ensemble import mean_posteriors
from vgglib.experiments import plan, runs
from vgglib.metrics import error_percent, interval_percent
from vgglib.results import Store

ENSEMBLES = plan("smoke", "6", seeds=[0])
SCALES = [*plan("smoke", "3", ["B", "D"], [0]), *plan("smoke", "4", ["B", "D"], [0])]
BOTH = "multi-crop & dense"
# Two images of class 0. Each net errs on one of them, and their means are 0.6 and 0.55.
D_HALF, E_HALF = [[0.9, 0.1], [0.4, 0.6]], [[0.3, 0.7], [0.7, 0.3]]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def put(store, entries, posteriors, net=None, s=None, labels=None, **protocol):
    """Write these posteriors for all runs of a net, or for those of a method or a Q."""
    posteriors = np.array(posteriors, np.float16)
    labels = np.array(labels if labels is not None else [0] * len(posteriors), np.int16)
    for run in runs(entries):
        named = (net or run.experiment.net, s or run.experiment.scale_text)
        if named == (run.experiment.net, run.experiment.scale_text) and all(
            getattr(run.protocol, key) == value for key, value in protocol.items()
        ):
            store.write(run, record(run, n_images=len(labels)), posteriors, labels)


def data_of(markup):
    return json.loads(parts(markup)["data"].string)


def picker(store, entries=ENSEMBLES):
    """What the picker looks up, with whole numbers as keys again."""
    data = data_of(explore_results.ensembles(entries, store))
    for own in data["methods"].values():
        for part in ("found", "paper"):
            own[part] = {int(mask): numbers for mask, numbers in own[part].items()}
    return data


def mask_of(data, *nets):
    return sum(1 << data["nets"].index(net) for net in nets)


def test_two_nets_that_err_on_different_images_are_both_put_right(store):
    put(store, ENSEMBLES, D_HALF, "D", "256-512")
    put(store, ENSEMBLES, E_HALF, "E", "256-512")
    found = texts(explore_results.ensembles(ENSEMBLES, store))
    assert (found["own1"], found["best"], found["best1"], found["gain1"]) == ("0.0", "D, S = 256-512", "50.0", "+50.0")
    assert found["says"].startswith("2 nets, dense: top-1 error 0.0 %, 1 seed. That is 50.0 points lower than that of")
    assert (found["paper1"], found["paper5"]) == ("24.0", "7.1")
    low, high = interval_percent(0.0, 2)  # one seed: over images, as in the tables; the gain has none
    assert (found["own"], found["gain"]) == (f"{low:.1f} to {high:.1f}", "–")


def test_a_surer_net_can_take_the_ensemble_with_it(store):
    put(store, ENSEMBLES, [[0.6, 0.4], [0.6, 0.4]], "D", "256-512")
    put(store, ENSEMBLES, [[0.1, 0.9], [0.1, 0.9]], "E", "256-512")
    found = texts(explore_results.ensembles(ENSEMBLES, store))
    assert (found["own1"], found["best1"], found["gain1"]) == ("100.0", "0.0", "−100.0")
    assert "100.0 points higher than that of the best of them, D, S = 256-512." in found["says"]


def test_the_gain_is_taken_within_each_seed(store):
    entries = plan("smoke", "6", seeds=[0, 1])
    put(store, entries, [[0.9, 0.1], [0.4, 0.6]], "D", "256-512")
    put(store, plan("smoke", "6", seeds=[0]), E_HALF, "E", "256-512")  # gain 50: both images right
    put(store, plan("smoke", "6", seeds=[1]), [[0.9, 0.1], [0.1, 0.9]], "E", "256-512")  # gain 0: errs where D does
    data = picker(store, entries)
    mask = mask_of(data, "D, S = 256-512", "E, S = 256-512")
    top1, low, high, top5, seeds, best, best1, best5, gain, least, most, gain5 = data["methods"]["dense"]["found"][mask]
    assert (top1, seeds, data["nets"][best], best1, gain) == (250, 2, "D, S = 256-512", 500, 250)
    # Means of 0 and 50: half their distance times t of one degree of freedom, 12.706; an error ends at 0 and 100.
    assert (low, high, least, most) == (0, 1000, round(250 - 250 * 12.7062), round(250 + 250 * 12.7062))
    assert (top5, best5, gain5) == (0, 0, 0)
    assert explore_results._ensemble(data, "dense", mask)["gain"] == "−292.7 to +342.7"


def test_seeds_that_a_member_lacks_do_not_count(store):
    put(store, plan("smoke", "6", seeds=[0]), [[0.9, 0.1], [0.4, 0.6]], "D", "256-512")
    put(store, plan("smoke", "6", seeds=[1]), [[0.9, 0.1], [0.9, 0.1]], "D", "256-512")
    put(store, plan("smoke", "6", seeds=[0]), E_HALF, "E", "256-512")
    entries = plan("smoke", "6", seeds=[0, 1])
    data = picker(store, entries)
    d, both = (mask_of(data, *nets) for nets in (["D, S = 256-512"], ["D, S = 256-512", "E, S = 256-512"]))
    found = data["methods"]["dense"]["found"]
    assert (found[d][0], found[d][4]) == (250, 2)
    assert (found[both][0], found[both][4], found[both][6]) == (0, 1, 500)  # D's 50 % of seed 0, not its mean
    assert data["methods"]["dense"]["status"][data["nets"].index("E, S = 256-512")] == "1 not run"


def filled(store, seeds, images=40):
    """Random posteriors over seven classes for every run of Table 6."""
    rng = np.random.default_rng(0)
    entries, labels = plan("smoke", "6", seeds=seeds), rng.integers(0, 7, images)
    for run in runs(entries):
        posteriors = rng.dirichlet(np.ones(7), images) + 0.4 * np.eye(7)[labels]
        put(store, [entry for entry in entries if run in entry.runs], posteriors / 1.4, labels=labels, **_only(run))
    return entries, labels


def _only(run):
    protocol = {"method": run.protocol.method, "test_scale": run.protocol.test_scale}
    return {"net": run.experiment.net, "s": run.experiment.scale_text, **protocol}


def test_every_ensemble_is_what_averaging_its_runs_gives(store):
    entries, labels = filled(store, [0, 1])
    data = picker(store, entries)
    assert [len(own["found"]) for own in data["methods"].values()] == [255, 3, 3]
    for method, own in data["methods"].items():
        arrays = {run: store.posteriors(run)[0] for run in runs([entry for entry in entries if entry.method == method])}
        errors = {mask: averaged(arrays, labels, members(data, mask)) for mask in own["found"]}
        for mask, found in own["found"].items():
            low, high = tables.mean_interval(errors[mask][:, 0])
            mean1, mean5 = errors[mask].mean(0)
            expected = [mean1, max(low, 0), min(high, 100), mean5]
            if mask.bit_count() > 1:
                singles = {place: errors[1 << place] for place in range(8) if mask >> place & 1}
                best = min(singles, key=lambda place: singles[place][:, 0].mean())
                gains = singles[best] - errors[mask]
                assert found[5] == best
                expected += [*singles[best].mean(0), gains[:, 0].mean(), *tables.mean_interval(gains[:, 0])]
                expected.append(gains[:, 1].mean())
            assert found[4] == 2
            assert found[:4] + found[6:] == pytest.approx([10 * value for value in expected], abs=0.5001)


def members(data, mask):
    return [net for place, net in enumerate(data["nets"]) if mask >> place & 1]


def averaged(arrays, labels, nets):
    """(2 seeds, top-1 and top-5) errors of the mean of all runs of these nets."""
    errors = []
    for seed in (0, 1):
        own = [
            array
            for run, array in arrays.items()
            if run.experiment.seed == seed and f"{run.experiment.net}, S = {run.experiment.scale_text}" in nets
        ]
        assert len(own) in (3 * len(nets), 6 * len(nets))
        errors.append([error_percent(mean_posteriors(own), labels, k) for k in (1, 5)])
    return np.array(errors)


def test_the_papers_ensembles_have_the_numbers_of_table_6(store):
    entries, _ = filled(store, [0, 1])
    data, table = picker(store, entries), tables.table6(store.rows(entries))
    assert len(table) == 4
    for line in table.itertuples():
        own, mask = data["methods"][line.method], data["named"][line.ensemble]
        assert mask.bit_count() == (7 if "7 nets" in line.ensemble else 2)
        assert [f"{value / 10:.1f}" for value in own["found"][mask][:4]] == [
            f"{value:.1f}" for value in (line.top1, line.top1_low, line.top1_high, line.top5)
        ]
        assert own["paper"][mask] == [round(10 * line.top1_val), round(10 * line.top5_val)]


def test_the_paper_has_numbers_for_single_nets_too(store):
    data = picker(store)
    d, c = (mask_of(data, net) for net in ("D, S = 256-512", "C, S = 256"))
    paper = {method: own["paper"] for method, own in data["methods"].items()}
    assert (paper["dense"][d], paper["multi-crop"][d], paper[BOTH][d]) == ([248, 75], [246, 75], [244, 72])
    assert paper["dense"][c] == [277, 92] and c not in paper["multi-crop"]
    assert len(paper["dense"]) == 8 + 2 and len(paper[BOTH]) == 2 + 1


def test_what_has_no_number_says_why(store):
    data = picker(store)
    assert data["nets"][0] == "C, S = 256" and not any(own["found"] for own in data["methods"].values())
    assert (
        explore_results._ensemble(data, "dense", 1)["says"] == "No number with dense evaluation: C, S = 256: not run."
    )
    crops = explore_results._ensemble(data, BOTH, mask_of(data, "C, S = 256", "D, S = 256-512"))
    says = "No number with multi-crop &amp; dense evaluation: C, S = 256: not evaluated; D, S = 256-512: not run."
    assert crops["says"] == says and crops["own1"] == crops["paper1"] == "–"
    assert explore_results._ensemble(data, "dense", 0)["says"] == "Tick at least one net."
    failed = ENSEMBLES[0].runs[0]  # the first net of the seven, D at S = 256
    settings = {"status": "failed", "error": "the loss is nan", "top1_error_percent": None}
    store.write(failed, record(failed, **settings))
    data = picker(store)
    assert data["methods"]["dense"]["status"][data["nets"].index("D, S = 256")] == "1 failed"


def test_nets_without_a_seed_in_common_have_no_number(store):
    put(store, plan("smoke", "6", seeds=[0]), D_HALF, "D", "256-512")
    put(store, plan("smoke", "6", seeds=[1]), E_HALF, "E", "256-512")
    data = picker(store, plan("smoke", "6", seeds=[0, 1]))
    state = explore_results._ensemble(data, "dense", data["named"]["post-submission (2 nets)"])
    assert state["says"] == "No number with dense evaluation: no seed has all of these nets."


def test_nets_tested_on_different_images_are_refused(store):
    put(store, ENSEMBLES, D_HALF, "D", "256-512")
    put(store, ENSEMBLES, E_HALF, "E", "256-512", labels=[0, 1])
    with pytest.raises(ValueError, match="dense, seed 0, saw different images: run them again"):
        explore_results.ensembles(ENSEMBLES, store)


@pytest.mark.parametrize("make, table", [(explore_results.ensembles, "6"), (explore_results.scales, "3 and 4")])
def test_a_plan_without_what_is_shown_is_refused(make, table, store):
    with pytest.raises(ValueError, match=f"give the entries of Tables? {table}"):
        make(plan("smoke", "5", seeds=[0]), store)


@pytest.fixture
def b_at_three_scales(store):
    # Class 0 is right for both images. By scale: (right, wrong), (wrong, wrong), (right, wrong); means 0.6 and 0.4.
    for scale, first in ((224, 0.9), (256, 0.2), (288, 0.7)):
        put(store, SCALES, [[first, 1 - first], [0.4, 0.6]], "B", test_scale=scale)
    return store


def test_every_scale_alone_and_their_mean(b_at_three_scales):
    tests = data_of(explore_results.scales(SCALES, b_at_three_scales))["B"]["tests"]["256"]
    low, high = interval_percent(50.0, 2)
    half = ["50.0", f"{low:.1f} to {high:.1f}", "0.0"]
    assert {q: texts[1:4] for q, texts in tests.items() if q != "256"} == {
        "224": half,
        "288": half,
        "224, 256, 288": half,
    }
    assert tests["256"][1] == "100.0"
    # The paper has S = Q in Table 3 and three scales in Table 4.
    assert {q: texts[4:] for q, texts in tests.items()} == {
        "224": ["–", "–"],
        "256": ["28.7", "9.9"],
        "288": ["–", "–"],
        "224, 256, 288": ["28.2", "9.6"],
    }
    assert tests["224"][0] == (
        "Net B, S = 256, Q = 224: top-1 error 50.0 %, 1 seed. An object is 0.88 times as large as in training."
    )
    assert "An object is as large as in training." in tests["256"][0]
    assert "An object is 0.88, 1 or 1.12 times as large" in tests["224, 256, 288"][0]


def test_every_test_of_tables_3_and_4_can_be_chosen(store):
    entries = [*plan("smoke", "3", seeds=[0]), *plan("smoke", "4", seeds=[0])]
    data = data_of(explore_results.scales(entries, store))
    for entry in entries:
        texts = data[entry.net]["tests"][entry.train_scale][entry.test_scales.replace(" ", ", ")]
        assert texts[0].endswith(": not run.") and texts[1:4] == ["–"] * 3 and texts[4] != "–"
    d = data["D"]["tests"]
    assert {s: list(own) for s, own in d.items()} == {
        "256": ["224", "256", "288", "224, 256, 288"],
        "384": ["352", "384", "416", "352, 384, 416"],
        "256-512": ["256", "384", "512", "256, 384, 512"],
    }
    assert list(d) == ["256", "384", "256-512"]
    assert list(data["A"]["tests"]["256"]) == ["256"]


def test_a_jittered_net_saw_a_range_of_sizes(store):
    put(store, SCALES, [[0.9, 0.1]], "D", "256-512")
    d = data_of(explore_results.scales(SCALES, store))["D"]["tests"]["256-512"]
    assert "between 0.75 and 1.5 times as large" in d["384"][0]
    assert "between 0.5 and 2 times as large" in d["256, 384, 512"][0]


def test_the_chart_has_errors_in_their_places(b_at_three_scales):
    entries = [entry for entry in SCALES if entry.net == "B"]
    page = BeautifulSoup(explore_results.scales(entries, b_at_three_scales), "html.parser")
    points = {point["data-test"]: point for point in page.select("[data-test]")}
    # From Q = 224 at 50 to 288 at 314 along x; from 0 at 178 to 100 % at 20 along y.
    assert {name: point["transform"] for name, point in points.items()} == {
        "B|256|224": "translate(50 99)",
        "B|256|256": "translate(182 20)",
        "B|256|288": "translate(314 99)",
        "B|256|224, 256, 288": "translate(182 99)",
    }
    assert [name for name, point in points.items() if point.get("class") == ["on"]] == ["B|256|224, 256, 288"]
    assert points["B|256|224, 256, 288"].select_one(".bar")["d"] == "M-132 0h264"
    assert page.svg["aria-label"] == (
        "Top-1 errors of net B. S = 256: 50.0 % at Q = 224, 100.0 % at Q = 256, 50.0 % at Q = 288, "
        "50.0 % at Q = 224, 256, 288."
    )


def test_images_and_crop_are_drawn_to_scale(store):
    page = BeautifulSoup(explore_results.scales(SCALES, store), "html.parser")
    images = {image.get_text(): image for image in page.select(".strip > span")}
    assert list(images) == ["S 256", "S 384", "S 512", *(f"Q {q}" for q in (224, 256, 288, 352, 384, 416, 512))]
    widths = {name: float(image["style"].removeprefix("width:").removesuffix("%")) for name, image in images.items()}
    assert widths["Q 512"] / widths["S 256"] == pytest.approx(2, rel=1e-3)
    # The crop leaves 144 of 512 pixels on either side.
    assert images["Q 512"].b["style"] == "inset:28.12%" and images["Q 224"].b["style"] == "inset:0.00%"
    shown = [name for name, image in images.items() if not image.has_attr("hidden")]
    assert shown == ["S 256", "Q 224", "Q 256", "Q 288"]


def explorers(store):
    return [explore_results.ensembles(ENSEMBLES, store), explore_results.scales(SCALES, store)]


@pytest.mark.parametrize("which", [0, 1], ids=["ensembles", "scales"])
def test_the_fragment_stands_alone_without_records_too(which, store):
    empty = explorers(store)[which]
    assert "not run" in texts(empty)["says"]
    filled(store, [0])
    put(store, SCALES, [[0.9, 0.1]], "B")
    for markup in (empty, explorers(store)[which]):
        assert len(markup.encode()) < 32 * 1024
        assert "//" not in markup
        assert not re.search(r"\bid=|\bon\w+=|\bnan\b", markup)
        page = BeautifulSoup(markup, "html.parser")
        assert [element.name for element in page.find_all(recursive=False)] == ["div"]
        assert all(control.find_parent("label").span.get_text() for control in page.select("select, input"))
        assert page.fieldset.has_attr("disabled") and page.noscript.get_text()


def test_the_script_starts_with_what_python_wrote(tmp_path, store):
    script = """return [...roots].map((root, i) => ({texts: read(i), ready: !root.querySelector("fieldset").disabled,
      parts: root.querySelector(".pair").outerHTML}));"""
    empty = explorers(store)
    put(store, ENSEMBLES, D_HALF)
    put(store, SCALES, D_HALF)
    markups = [*empty, *explorers(store)]
    for markup, found in zip(markups, in_browser(tmp_path, "".join(markups), script), strict=True):
        assert found["ready"]
        assert found["texts"] == texts(markup)
        before, after = (BeautifulSoup(text, "html.parser").select_one(".pair") for text in (markup, found["parts"]))
        assert before == after


def test_every_ensemble_in_the_browser_is_what_python_says(tmp_path, store):
    entries, _ = filled(store, [0, 1], images=12)
    data = picker(store, entries)
    script = """
    const boxes = [...roots[0].querySelectorAll("input")], found = {};
    for (const method of [...at(0, "method").options].map((option) => option.value)) {
      at(0, "method").value = method;
      found[method] = Array.from({length: 256}, (_, mask) => {
        boxes.forEach((box, place) => { box.checked = mask >> place & 1; });
        boxes[0].dispatchEvent(new Event("input", {bubbles: true}));
        return {...read(0), named: at(0, "named").value};
      });
    }
    return found;"""
    seen = in_browser(tmp_path, explore_results.ensembles(entries, store), script)
    names = {mask: name for name, mask in data["named"].items()}
    for method in data["methods"]:
        for mask, found in enumerate(seen[method]):
            expected = explore_results._ensemble(data, method, mask)
            expected["says"] = expected["says"].replace("&amp;", "&")
            assert {key: found[key] for key in expected} == expected
            assert found["named"] == names.get(mask, "own choice")


def test_a_named_ensemble_ticks_its_nets(tmp_path, store):
    script = """
    const ticked = () => [...roots[0].querySelectorAll("input")].filter((box) => box.checked)
      .map((box) => box.parentElement.textContent);
    choose(0, {named: "ILSVRC submission (7 nets)"});
    const seven = ticked();
    at(0, "net0").click();
    return [seven, ticked().length, at(0, "named").value];"""
    seven, after, name = in_browser(tmp_path, explore_results.ensembles(ENSEMBLES, store), script)
    scales = (256, 384, 256, 384, "256-512", 256, 384)
    assert seven == [f"{net}, S = {scale}" for net, scale in zip("CCDDDEE", scales, strict=True)]
    assert (after, name) == (6, "own choice")


def test_every_scale_in_the_browser_is_what_python_says(tmp_path, store):
    put(store, SCALES, D_HALF)
    markup = explore_results.scales(SCALES, store)
    data = data_of(markup)
    choices = [{"net": net, "S": s, "Q": q} for net in data for s, own in data[net]["tests"].items() for q in own]
    script = f"""return {json.dumps(choices)}.map((values) => ({{...choose(0, values),
      on: [...roots[0].querySelectorAll(".on")].map((part) => part.dataset.test),
      drawn: at(0, "drawing").getAttribute("aria-label"), sizes: at(0, "sizes").getAttribute("aria-label"),
      seen: [...roots[0].querySelectorAll("[data-net], [data-s], [data-q]")]
        .filter((part) => !part.hasAttribute("hidden"))
        .map((part) => part.dataset.net || part.dataset.s || part.dataset.q)}}));"""
    for choice, found in zip(choices, in_browser(tmp_path, markup, script), strict=True):
        net, s, q = choice.values()
        expected = data[net]["tests"][s][q]
        assert [found[key] for key in ("says", "top1", "interval", "top5", "paper1", "paper5")] == expected
        assert found["on"] == [f"{net}|{s}|{q}"]
        assert found["seen"] == [net, *s.split("-"), *q.split(", ")]
        assert found["drawn"] == data[net]["drawn"]
        assert found["sizes"] == f"Images of {s} pixels in training and of {q} in the test, each with a crop of 224."


def test_another_net_keeps_what_it_also_has(tmp_path, store):
    script = """
    const kept = [];
    for (const values of [{net: "D", S: "384", Q: "416"}, {S: "256-512"}, {net: "B"}, {net: "D"}, {S: "384"}]) {
      choose(0, values);
      kept.push(["net", "S", "Q"].map((key) => at(0, key).value));
    }
    return kept;"""
    assert in_browser(tmp_path, explore_results.scales(SCALES, store), script) == [
        ["D", "384", "416"],
        ["D", "256-512", "512"],  # the third again
        ["B", "256", "288"],
        ["D", "256", "288"],
        ["D", "384", "416"],
    ]
