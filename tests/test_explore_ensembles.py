import numpy as np
import pytest
from bs4 import BeautifulSoup
from explorers import data_of, in_browser, of_records, texts
from records import D_HALF, E_HALF, ENSEMBLES, SCALES, filled, put, record

from vgglib import answered, tables
from vgglib.display import explore_ensembles, explore_scales
from vgglib.ensemble import mean_posteriors
from vgglib.experiments import runs
from vgglib.metrics import error_percent, interval_percent, mean_interval
from vgglib.plans import plan
from vgglib.results import Store

BOTH = "multi-crop & dense"


def picker(store, entries=ENSEMBLES):
    """What the picker looks up, with whole numbers as keys again."""
    data = data_of(explore_ensembles.ensembles(entries, store))
    for own in data["methods"].values():
        for part in ("found", "paper"):
            own[part] = {int(mask): numbers for mask, numbers in own[part].items()}
    return data


def mask_of(data, *nets):
    return sum(1 << data["nets"].index(net) for net in nets)


def test_two_nets_that_err_on_different_images_are_both_put_right(store):
    put(store, ENSEMBLES, D_HALF, "D", "256-512")
    put(store, ENSEMBLES, E_HALF, "E", "256-512")
    found = texts(explore_ensembles.ensembles(ENSEMBLES, store))
    assert (found["own1"], found["best"], found["best1"], found["gain1"]) == ("0.0", "D, S = 256-512", "50.0", "+50.0")
    assert found["says"].startswith("2 nets, dense: top-1 error 0.0 %, 1 seed. That is 50.0 points lower than that of")
    assert (found["paper1"], found["paper5"]) == ("24.0", "7.1")
    low, high = interval_percent(0.0, 2)  # one seed: over images, as in the tables; the gain has none
    assert (found["own"], found["gain"]) == (f"{low:.1f} to {high:.1f}", "–")


def test_a_surer_net_can_take_the_ensemble_with_it(store):
    put(store, ENSEMBLES, [[0.6, 0.4], [0.6, 0.4]], "D", "256-512")
    put(store, ENSEMBLES, [[0.1, 0.9], [0.1, 0.9]], "E", "256-512")
    found = texts(explore_ensembles.ensembles(ENSEMBLES, store))
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
    assert (top5, best5, gain5) == (None, None, None)  # of two classes
    assert explore_ensembles._ensemble(data, "dense", mask)["gain"] == "−292.7 to +342.7"


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


def test_every_ensemble_is_what_averaging_its_runs_gives(store):
    entries, labels = filled(store, [0, 1])
    data = picker(store, entries)
    assert [len(own["found"]) for own in data["methods"].values()] == [255, 3, 3]
    for method, own in data["methods"].items():
        arrays = {run: store.posteriors(run)[0] for run in runs([entry for entry in entries if entry.method == method])}
        errors = {mask: averaged(arrays, labels, members(data, mask)) for mask in own["found"]}
        for mask, found in own["found"].items():
            low, high = mean_interval(errors[mask][:, 0])
            mean1, mean5 = errors[mask].mean(0)
            expected = [mean1, *np.clip([low, high], 0, 100), mean5]
            if mask.bit_count() > 1:
                singles = {place: errors[1 << place] for place in range(8) if mask >> place & 1}
                best = min(singles, key=lambda place: singles[place][:, 0].mean())
                gains = singles[best] - errors[mask]
                assert found[5] == best
                expected += [*singles[best].mean(0), gains[:, 0].mean(), *mean_interval(gains[:, 0])]
                expected.append(gains[:, 1].mean())
            assert found[4] == 2
            shown = np.array(found[:4] + found[6:], float)  # not a number where two seeds err alike
            assert shown == pytest.approx(10 * np.array(expected), abs=0.5001, nan_ok=True)


@pytest.mark.parametrize("worth, again", [(1, set()), (40 * 7 * 6 + 1, {"multi-crop"})], ids=["all", "most"])
def test_ensembles_of_many_posteriors_are_averaged_once(store, monkeypatch, worth, again):
    entries, _ = filled(store, [0, 1])
    shown = explore_ensembles.ensembles(entries, store)
    monkeypatch.setattr(answered, "WORTH_KEEPING", worth)
    monkeypatch.setattr(answered, "BLOCK", 7 * 11)  # eleven images
    read, own = [], Store.posteriors_of
    monkeypatch.setattr(Store, "posteriors_of", lambda *given: read.append(given[1]) or own(*given))
    assert explore_ensembles.ensembles(entries, store) == shown and len(read) == len(runs(entries))
    read.clear()
    assert explore_ensembles.ensembles(entries, store) == shown
    assert {run.protocol.method for run in read} == again  # of D and E on crops alone there are not so many


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
    data, table = picker(store, entries), tables.beside_paper("6", store.rows(entries))
    assert len(table) == 4
    for line in table.itertuples():
        own, mask = data["methods"][line.method], data["named"][line.ensemble]
        assert mask.bit_count() == (7 if "7 nets" in line.ensemble else 2)
        shown = np.array(own["found"][mask][:4], float)
        assert [f"{value / 10:.1f}" for value in shown] == [
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
        explore_ensembles._ensemble(data, "dense", 1)["says"] == "No number with dense evaluation: C, S = 256: not run."
    )
    crops = explore_ensembles._ensemble(data, BOTH, mask_of(data, "C, S = 256", "D, S = 256-512"))
    says = "No number with multi-crop &amp; dense evaluation: C, S = 256: not evaluated; D, S = 256-512: not run."
    assert crops["says"] == says and crops["own1"] == crops["paper1"] == "–"
    assert explore_ensembles._ensemble(data, "dense", 0)["says"] == "Tick at least one net."
    failed = ENSEMBLES[0].runs[0]  # the first net of the seven, D at S = 256
    settings = {"status": "failed", "error": "the loss is nan", "top1_error_percent": None}
    store.write(failed, record(failed, **settings))
    data = picker(store)
    assert data["methods"]["dense"]["status"][data["nets"].index("D, S = 256")] == "1 failed"


def test_nets_without_a_seed_in_common_have_no_number(store):
    put(store, plan("smoke", "6", seeds=[0]), D_HALF, "D", "256-512")
    put(store, plan("smoke", "6", seeds=[1]), E_HALF, "E", "256-512")
    data = picker(store, plan("smoke", "6", seeds=[0, 1]))
    state = explore_ensembles._ensemble(data, "dense", data["named"]["post-submission (2 nets)"])
    assert state["says"] == "No number with dense evaluation: no seed has all of these nets."


def test_nets_tested_on_different_images_are_refused(store):
    put(store, ENSEMBLES, D_HALF, "D", "256-512")
    put(store, ENSEMBLES, E_HALF, "E", "256-512", labels=[0, 1])
    with pytest.raises(ValueError, match="dense, seed 0, saw different images: keep the records"):
        explore_ensembles.ensembles(ENSEMBLES, store)


@pytest.mark.parametrize("make, table", [(explore_ensembles.ensembles, "6"), (explore_scales.scales, "3 and 4")])
def test_a_plan_without_what_is_shown_is_refused(make, table, store):
    with pytest.raises(ValueError, match=f"give the entries of Tables? {table}"):
        make(plan("smoke", "5", seeds=[0]), store)


def test_the_script_starts_with_what_python_wrote(tmp_path, store):
    script = """return [...roots].map((root, i) => ({texts: read(i), ready: !root.querySelector("fieldset").disabled,
      parts: root.querySelector(".pair").outerHTML}));"""
    empty = of_records(store)
    put(store, ENSEMBLES, D_HALF)
    put(store, SCALES, D_HALF)
    markups = [*empty, *of_records(store)]
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
    seen = in_browser(tmp_path, explore_ensembles.ensembles(entries, store), script)
    names = {mask: name for name, mask in data["named"].items()}
    for method in data["methods"]:
        for mask, found in enumerate(seen[method]):
            expected = explore_ensembles._ensemble(data, method, mask)
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
    seven, after, name = in_browser(tmp_path, explore_ensembles.ensembles(ENSEMBLES, store), script)
    scales = (256, 384, 256, 384, "256-512", 256, 384)
    assert seven == [f"{net}, S = {scale}" for net, scale in zip("CCDDDEE", scales, strict=True)]
    assert (after, name) == (6, "own choice")
