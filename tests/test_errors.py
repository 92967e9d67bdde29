import json

import numpy as np
import pytest
from answers import FIRST, LABELS, NAMES, SECOND, nothing, of, posteriors_of, saying

from vgglib import data, experiments, presets
from vgglib.analysis import class_errors, errors
from vgglib.data.shapes import CLASSES
from vgglib.plans import plan
from vgglib.results import FIELDS, Store


def test_discordant_pairs_by_hand():
    table = errors.discordance(FIRST, SECOND)
    assert table.columns.tolist() == [
        "Seed",
        "Both right",
        "Wrong only with A",
        "Wrong only with E",
        "Both wrong",
    ]
    assert table.to_numpy().tolist() == [["0", 2, 0, 2, 1], ["1", 3, 1, 0, 1], ["all", 5, 1, 2, 2]]


def test_only_shared_seeds_are_compared():
    other = saying([[0, 0, 1, 1, 0], [0, 1, 1, 1, 2]], LABELS, "E", seeds=(7, 1))
    assert errors.discordance(FIRST, other)["Seed"].tolist() == ["1", "all"]
    assert errors.discordance(FIRST, other).iloc[0].tolist() == ["1", 3, 1, 0, 1]
    assert errors.discordance(FIRST, nothing("E"))["Seed"].tolist() == ["not run"]


def test_disagreement_has_two_seeds_of_one_net_as_a_yardstick():
    table = errors.disagreement(FIRST, SECOND)
    assert table["Nets"].tolist() == ["A and E, same seed", "A, two seeds", "E, two seeds"]
    assert table["Pairs"].tolist() == [2, 1, 1]
    # Differing images: 2 and 1 of 5; A's {4} and {1, 3}; E's {0, 3, 4} and {1}.
    assert table.iloc[:, 2].tolist() == ["30.0", "60.0", "80.0"]
    assert errors.disagreement(FIRST, nothing("E")).iloc[:, 2].tolist() == ["not run", "60.0", "not run"]


def test_images_that_only_one_net_gets_wrong_in_every_seed():
    first = saying([[1, 0, 1, 0, 2], [1, 1, 1, 0, 0]], LABELS)  # images 0 and 3 in both seeds
    second = saying([[0, 1, 1, 1, 2], [0, 1, 1, 1, 2]], LABELS, "E")  # image 1 in both, which A's seed 1 has wrong, too
    assert errors.in_every_seed(first, second) == (
        "Of 5 images, 2 are wrong with A and right with E in every seed of 2, and 0 the other way round."
    )
    assert "not run" in errors.in_every_seed(first, nothing("E"))


def test_cases_have_the_largest_gap_and_one_of_a_class():
    labels = np.array([0, 0, 1, 2, 2])
    worse = np.array([[0.4, 0.5, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.5, 0.1, 0.4]])
    better = np.array([[0.6, 0.3, 0.1], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.0, 0.1, 0.9], [0.6, 0.0, 0.4]])
    a, e = of(worse[None], labels), of(better[None], labels, "E")
    found = errors.cases(a, e, 6)
    # Gaps: 0.2, 0.6 and 0.5; image 3 is right with both, image 4 wrong with both.
    assert found["image"].tolist() == [1, 2]
    assert found["true"].tolist() == found["better"].tolist() == [0, 1]
    assert found["worse"].tolist() == [1, 0]
    assert found["worse_probability"].tolist() == [0.6, 0.5]
    assert found["better_probability"].tolist() == [0.7, 0.8]
    assert errors.cases(a, e, 1)["image"].tolist() == [1]
    assert errors.cases(e, a, 6).empty and errors.cases(a, nothing("E"), 6).empty


def test_the_net_of_a_case_is_the_mean_over_seeds():
    labels = np.array([0])
    own = np.array([[[0.45, 0.55]], [[0.45, 0.55]], [[0.9, 0.1]]])  # wrong in two seeds of three, right in the mean
    net = of(own, labels)
    other = saying([[1]], labels, "E", classes=2)
    found = errors.cases(other, net, 6)
    assert found["image"].tolist() == [0] and found["better_probability"].tolist() == [pytest.approx(0.6)]


def test_a_tie_is_an_error_in_every_count():
    tied = of(np.array([[[0.4, 0.4, 0.2]]]), np.array([0]))
    assert tied.wrong.tolist() == [[True]] and tied.choices.tolist() == [[1]]
    assert class_errors.confusion(tied)[0].tolist() == [0, 100, 0]


def test_confusion_is_a_share_of_the_true_class():
    share = class_errors.confusion(FIRST)
    # Class 0: four answers, one of them 1; class 1: one of four is 0; class 2: one of two is 0.
    assert share.tolist() == [[75, 25, 0], [25, 75, 0], [50, 0, 50]]
    missing = class_errors.confusion(saying([[0, 0]], np.array([0, 0])))
    assert missing.tolist() == [[100, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_top_pairs_leave_right_answers_out():
    table = class_errors.top_pairs(FIRST, NAMES)
    assert table.to_numpy().tolist() == [
        ["dotted star", "plain disc", "50.0", "0.0"],
        ["plain disc", "plain star", "25.0", "25.0"],
        ["plain star", "plain disc", "25.0", "25.0"],
    ]
    assert len(class_errors.top_pairs(FIRST, NAMES, 1)) == 1
    assert class_errors.top_pairs(nothing(), NAMES)["True class"].tolist() == ["not run"]


def test_cues_by_hand():
    labels = np.array([CLASSES.index("striped star")] * 4)
    said = [CLASSES.index(name) for name in ("striped star", "striped cross", "dotted star", "plain heart")]
    table = class_errors.cues([saying([said], labels, classes=24), nothing("E")]).set_index("Net")
    assert table.loc["A"].tolist() == ["3", "33.3", "33.3", "33.3", "66.7"]  # the heart is eight classes away
    assert table.loc["E"].tolist() == ["not run", "-", "-", "-", "-"]
    # Of 23 wrong classes 5 share the texture, 3 the shape, and 8 are at most four places away on the circle.
    assert table.loc["by lot"].tolist() == ["-", "21.7", "13.0", "65.2", "34.8"]
    assert table.loc["by lot, of a similar hue"].tolist() == ["-", "25.0", "37.5", "37.5", "100.0"]
    assert class_errors.has_cues("smoke") and not class_errors.has_cues("tiny-imagenet")


def test_hues_are_on_a_circle():
    last, first = np.array([23]), saying([[0]], np.array([23]), classes=24)
    assert last == CLASSES.index("dotted square")
    assert class_errors.cues([first])["A similar hue (%)"].iloc[0] == "100.0"


def test_seeds_do_not_narrow_the_interval_of_a_class():
    once, twice = (saying([[0, 0, 0, 1, 2]] * count, LABELS) for count in (1, 2))
    table = class_errors.by_class(once)
    assert table["label"].tolist() == [0, 1, 2] and table["images"].tolist() == [2, 2, 1]
    assert table["error"].tolist() == [0, 50, 0]
    assert (table.loc[1, "low"], table.loc[1, "high"]) == pytest.approx((9.45, 90.55), abs=0.01)
    assert class_errors.by_class(twice).equals(table)


def test_classes_told_apart_are_counted():
    labels = np.repeat([0, 1], 50)
    half = saying([np.r_[np.zeros(50, int), np.zeros(50, int)]], labels, classes=2)
    text = class_errors.told_apart(half)  # one class all right, the other all wrong
    assert "with 50 images a class" in text and "2 of 2 leave out the error over all classes, 50.0 %" in text
    each_one = np.arange(40)
    assert "no more than about 2 do so" in class_errors.told_apart(saying([each_one], each_one, classes=40))
    assert class_errors.told_apart(nothing()) == "A: not run."


def written(store, entry, choices, labels, status="done"):
    """A record of an entry's run, with posteriors when it is done."""
    (run,) = entry.runs
    record = dict.fromkeys(FIELDS) | {
        **{"schema": 2, "run_id": run.run_id, "preset": run.preset, "status": status, "seed": entry.seed},
        **{"experiment": experiments.as_dict(run.experiment), "protocol": experiments.as_dict(run.protocol)},
        **{"n_images": len(labels), "n_classes": 3, "environment": {"images_skipped": 0}},
    }
    record.pop("digest")
    record.pop("posteriors_sha256")
    own = posteriors_of(choices)[0].astype(np.float16) if status == "done" else None
    store.write(run, json.loads(json.dumps(record)), own, labels if own is not None else None)


def test_answers_are_read_seed_by_seed(tmp_path, monkeypatch):
    monkeypatch.setenv("VGG_RESULTS", str(tmp_path))
    entries = plan("smoke", "3", ["A", "B"], [0, 1, 2])
    by_key = {(entry.net, entry.seed): entry for entry in entries}
    store = Store(tmp_path)
    written(store, by_key["A", 0], [0, 0, 1], np.array([0, 1, 1]))
    written(store, by_key["A", 1], [0, 0, 1], np.array([0, 1, 1]), status="failed")
    written(store, by_key["A", 2], [0, 1, 1], np.array([0, 1, 1]))
    a, b = errors.answers(entries)
    assert (a.name, a.key, a.seeds) == ("A, S = 256", ("3", "A", "256", "256", "dense"), (0, 2))
    assert a.wrong.tolist() == [[False, True, False], [False, False, False]]
    assert b.seeds == () and b.wrong.shape[0] == 0
    assert [own.name for own in errors.at_one_scale([a, b])] == ["A", "B"]
    with pytest.raises(ValueError, match="nets with S = 256 in Table 3: A; name at least two"):
        errors.at_one_scale([a])
    written(store, by_key["A", 2], [0, 1, 1], np.array([1, 1, 1]))
    with pytest.raises(ValueError, match="the seeds of A, S = 256, dense, saw different images"):
        errors.answers(entries)


def test_averages_are_numbers_of_the_tables():
    found = errors.averages("smoke", (0,))
    assert [own.name for own in found] == list(errors.AVERAGES)
    assert [own.key for own in found] == list(errors.AVERAGES.values())


def test_images_are_those_of_val():
    labels = np.arange(120) % 24
    own = saying([labels], labels, classes=24)
    images = errors.val_images("smoke", [nothing(), own])
    usual = data.load(**presets.named("smoke").data)
    assert len(images.train) < len(usual.train)
    assert images.val.pixels.equal(usual.val.pixels)
    assert errors.class_names(images, [own]) == CLASSES
    with pytest.raises(ValueError, match="preset smoke are about other images"):
        errors.val_images("smoke", [saying([labels], labels[::-1], classes=24)])


def test_images_that_are_not_at_hand_are_named():
    own, other = saying([[0, 1]], np.array([0, 0])), saying([[0, 0]], np.array([0, 0]), "E")
    assert errors.val_images("tiny-imagenet", [own]) is None
    assert errors.val_images("smoke", [nothing()]) is None
    assert errors.class_names(None, [nothing(), own]) == ("class 0", "class 1", "class 2")
    text = errors.without_pictures(errors.cases(own, other, 6), own, other)
    assert "A gets wrong and E right: numbers 1 of val" in text and "data_dir" in text
    assert "There is no image that E gets wrong" in errors.without_pictures(errors.cases(other, own, 6), other, own)
    assert "not run" in errors.without_pictures(errors.cases(own, nothing("E"), 6), own, nothing("E"))
