import pytest
from records import LABELS, POSTERIORS, planned, record

from vgglib import show
from vgglib.analysis import lengths, predictions
from vgglib.analysis.predictions import PREDICTIONS, Prediction
from vgglib.claims import NAMES
from vgglib.display import follow_ups

SETTINGS = {"epochs": 48, "patience": 48}
FORETOLD = Prediction("demo", "depth", "E", "A", "multi-crop", **SETTINGS, seen=(0, 1), seeds=(2, 3, 4))


@pytest.fixture(autouse=True)
def foretold(monkeypatch):
    monkeypatch.setattr(predictions, "PREDICTIONS", (FORETOLD,))


def trained(store, net, wrong, seeds=FORETOLD.seeds, table="crops", status="done", **settings):
    """Records of a net, a seed for each count of wrong answers among three images."""
    for seed, count in zip(seeds, wrong, strict=True):
        (run,) = planned(table=table, nets=[net], seeds=[seed], train_scales=["256"], **settings or SETTINGS)
        labels = (LABELS + (count > LABELS)) % 3
        environment = {"precision": "bf16", "device": "cpu", "evaluation_seconds": 1.0}
        own = record(run, environment=environment, status=status, n_images=3, n_classes=3)
        store.write(run, own, POSTERIORS, labels)


def outcome(store):
    return predictions.decision(FORETOLD, predictions.rows(store, FORETOLD, FORETOLD.seeds, "multi-crop"))


def test_it_is_put_to_a_t_test_over_its_own_seeds(store):
    trained(store, "A", (3, 2, 2))
    trained(store, "E", (0, 0, 0))
    # -100, -66.7, -66.7 points: standard error 11.1, t = -7, and p = 0.0198 with two degrees of freedom.
    found = outcome(store)
    assert found.verdict == "reproduced" and found.p_value == pytest.approx(0.0198, abs=1e-4)
    said = predictions.finding(store, "demo")
    assert "after 48 epochs whose rate drops at the deadlines alone, tested on crops" in said
    assert (
        "seeds 2 to 4 before any of these was trained. The outcome: **held**, -77.78 points (-125.59 to -29.97), "
        "p = 0.020"
    ) in said


def test_the_opposite_refutes_it(store):
    trained(store, "A", (0, 0, 0))
    trained(store, "E", (3, 2, 2))
    assert outcome(store).verdict == "opposite" and "**refuted: the opposite**" in predictions.finding(store, "demo")


def test_what_could_be_chance_leaves_it_undecided(store):
    trained(store, "A", (1, 2, 1))
    trained(store, "E", (0, 0, 0))
    # -33.3, -66.7, -33.3: t = -4, p = 0.057.
    found = outcome(store)
    assert found.verdict == "undecided" and found.p_value == pytest.approx(0.0572, abs=1e-4)


def test_before_the_last_seed_is_done_nothing_is_shown(store):
    trained(store, "A", (3, 2, 2))
    trained(store, "E", (0, 0), FORETOLD.seeds[:2])
    for net in "AE":
        trained(store, net, (1, 2, 1), table="3")
    assert outcome(store).verdict == "not run" and outcome(store).why.startswith("1 of 6 not run")
    for line in predictions.table(store, "demo").to_dict("records"):
        assert {line[column] for column in ("A", "E", "E - A", "95 % interval", "Seed by seed", "p")} == {"-"}


def test_a_training_that_failed_leaves_it_undecided(store):
    trained(store, "A", (3, 2, 2))
    trained(store, "E", (0, 0), FORETOLD.seeds[:2])
    trained(store, "E", (0,), FORETOLD.seeds[2:], status="failed")
    assert outcome(store).verdict == "undecided" and "1 failed run(s)" in outcome(store).why


def test_so_does_a_failed_one_from_which_the_other_would_have_started(store):
    trained(store, "A", (3, 2), FORETOLD.seeds[:2])
    trained(store, "E", (0, 0), FORETOLD.seeds[:2])
    trained(store, "A", (3,), FORETOLD.seeds[2:], status="failed")
    assert outcome(store).verdict == "undecided" and "2 failed run(s)" in outcome(store).why
    own = predictions.table(store, "demo").iloc[1]
    assert own["Seeds"] == "2 to 4, of which 2, 3" and own["Seed by seed"] == "-100.0, -66.7"


def test_seeds_that_suggested_it_stand_beside_and_take_no_part(store):
    trained(store, "A", (3, 3), FORETOLD.seen)
    trained(store, "E", (2, 3), FORETOLD.seen)
    trained(store, "A", (3, 2, 2))
    trained(store, "E", (0, 0, 0))
    trained(store, "A", (0, 0, 0), table="3")
    trained(store, "E", (1, 1, 0), table="3")
    suggested, own, dense = predictions.table(store, "demo").to_dict("records")
    # -33.3 and 0: standard error 16.7, t = 12.706.
    assert list(suggested.values()) == [
        *("0 to 1", "multi-crop", "100.00", "83.33", "-16.67", "-228.44 to +195.10", "-33.3, +0.0", "-", "suggested it")
    ]
    assert (own["Seeds"], own["E - A"], own["p"], own["Outcome"]) == ("2 to 4", "-77.78", "0.020", "held")
    assert (dense["Tested"], dense["E - A"], dense["p"]) == ("dense", "+22.22", "-")
    assert dense["Outcome"] == "nothing was predicted"


def test_other_questions_leave_its_trainings_out(store):
    trained(store, "A", (1, 1, 1, 1, 1), FORETOLD.seen + FORETOLD.seeds)
    trained(store, "A", (1,), (2,), epochs=48)
    trained(store, "A", (1,), (3,), epochs=48, patience=60)  # no other training, nor is the next
    trained(store, "A", (1,), (4,), epochs=48, patience=48, precision="bf16")
    found = lengths.rows(store, "demo")
    assert found[["drops", "seed"]].values.tolist() == [["", 2], [lengths.AT_DEADLINES, 0], [lengths.AT_DEADLINES, 1]]


def test_a_page_shows_the_sentence_and_the_table(store, monkeypatch):
    said, shown = [], []
    monkeypatch.setattr(show, "sentence", said.append)
    monkeypatch.setattr(show, "table", lambda frame, caption: shown.append(frame))
    follow_ups.predictions_of("demo")
    assert said == [predictions.finding(store, "demo")] and said[0].startswith("*The error falls with depth")
    assert [len(frame) for frame in shown] == [3]


def test_a_page_of_other_nets_says_that_nothing_was_predicted(store, monkeypatch):
    said = []
    monkeypatch.setattr(show, "sentence", said.append)
    follow_ups.predictions_of("tiny-imagenet")
    assert said == ["Nothing was predicted about the nets of preset tiny-imagenet."]
    assert predictions.finding(store, "tiny-imagenet") == ""


def test_those_of_the_book_are_about_claims_and_about_seeds_not_seen():
    for prediction in PREDICTIONS:
        assert prediction.claim in NAMES and not set(prediction.seen) & set(prediction.seeds)
