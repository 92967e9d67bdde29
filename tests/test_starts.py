import pandas as pd
from records import LABELS, POSTERIORS, planned, record
from rows import FROM_A, LONGER_START, of_start

from vgglib import show
from vgglib.analysis import starts
from vgglib.display import follow_ups


def trained(store, table, seed, nets=("E",), **settings):
    """Records of one seed's trainings of a table at S = 256."""
    for run in planned(table=table, nets=nets, seeds=[seed], train_scales=["256"], **settings):
        history = [
            {"epoch": number, "learning_rate": 0.01, "train_loss": 1.0, "minival_top1_error_percent": error}
            for number, error in ((1, 50.0), (2, 40.0))
        ]
        environment = {"precision": "bf16", "device": "cpu", "evaluation_seconds": 1.0}
        store.write(run, record(run, environment=environment, history=history), POSTERIORS, LABELS)


RANDOM = ["he-fan-out", "glorot"]
SHORT = ("starts", "glorot", 12, 0)
HALVES = ("shorter-starts", "A", 6, 6)


def test_rows_say_how_long_each_was_trained_and_what_was_before(store):
    trained(store, "starts", 3)
    assert starts.rows(store, "demo").empty  # nothing to compare them with
    trained(store, "longer-starts", 3)
    found = starts.rows(store, "demo")
    assert found[["start", "before", "epochs", "seed"]].values.tolist() == [
        ["A", 12, 12, 3],
        ["he-fan-out", 0, 12, 3],
        ["glorot", 0, 12, 3],
        ["he-fan-out", 0, 24, 3],
        ["glorot", 0, 24, 3],
    ]


def test_rows_have_a_where_it_was_trained_as_long_as_an_e_from_it_and_that_a(store):
    trained(store, "starts", 3)
    trained(store, "3", 3, nets=["A"])  # 12 epochs, as no E from A has together
    assert starts.rows(store, "demo").empty  # E from A has 24, E from random weights 12
    trained(store, "3", 3, nets=["A"], epochs=24)
    short = [["E", start, 12] for start in RANDOM]
    own = ["net", "start", "together"]
    found = starts.rows(store, "demo")
    first = ["A", RANDOM[0], 12]
    assert found[own].values.tolist() == [["E", "A", 24], *short, first, ["A", RANDOM[0], 24]]
    assert not starts.raced(found)
    trained(store, "shorter-starts", 3)
    found = starts.rows(store, "demo")
    halves = [["E", "A", 12], first]
    assert found[own].values.tolist() == [["E", "A", 24], *short, *halves, ["A", RANDOM[0], 24]]
    assert {length: len(raced) for length, raced in starts.raced(found).items()} == {12: 3}


def test_chance_is_left_where_the_schedule_says_so():
    def left(*errors):
        return starts.left_chance([{"epoch": n, "minival_top1_error_percent": e} for n, e in enumerate(errors, 1)], 10)

    # Guessing one of ten errs in 90 %; five points below is 85.
    assert left(90.0, 85.1, 85.0, 20.0) == 3
    assert left(92.0, 85.1) is None and left() is None


def test_starts_of_another_recipe_are_rows_of_that_recipe(store):
    for table in ("starts", "longer-starts"):
        trained(store, table, 3, epochs=6)
    found = starts.rows(store, "demo", epochs=6)
    assert starts.rows(store, "demo").empty
    assert found[["start", "before", "epochs"]].values.tolist() == [
        ["A", 6, 6],
        ["he-fan-out", 0, 6],
        ["glorot", 0, 6],
        ["he-fan-out", 0, 12],
        ["glorot", 0, 12],
    ]


def test_summary_by_pencil():
    rows = (
        of_start(FROM_A, 10.0, 12.0, 14.0, history=(80.0,))
        + of_start(LONGER_START, 20.0, history=(90.0, 84.0))
        + of_start(SHORT, 89.0, 91.0)
    )
    from_a, longer, short = starts.summary(pd.DataFrame(rows)).to_dict("records")
    # 10, 12, 14: standard error 2/sqrt(3), t = 4.303.
    assert list(from_a.values()) == ["E", "A", 12, 12, "12.0", "7.0 to 17.0", "3", "3 of 3", "1"]
    assert list(longer.values()) == ["E", "glorot", "-", 24, "20.0", "-", "1", "1 of 1", "2"]
    assert list(short.values())[-2:] == ["0 of 2", "-"]


def test_a_failed_training_has_no_error_is_counted_and_decides_nothing():
    rows = of_start(FROM_A, 10.0, 10.1, 9.9, 10.0) + of_start(LONGER_START, 20.0, 20.0, 20.0, 20.0)
    assert starts.gains(pd.DataFrame(rows))["E from A errs less"].tolist() == ["yes"]
    rows[-1] |= {"status": "failed", "top1_error_percent": None, "history": []}
    found = pd.DataFrame(rows)
    longer = starts.summary(found).iloc[1]
    assert (longer["Seeds"], longer["Left chance"]) == ("3, 1 failed", "0 of 4")
    (line,) = starts.gains(found).to_dict("records")
    assert (line["Points"], line["Below 0"]) == ("-10.00", "3 of 3 seeds, 1 failed")
    assert line["E from A errs less"] == "undecided"


def test_the_start_from_a_is_set_against_as_many_epochs_and_not_against_fewer():
    rows = (
        of_start(FROM_A, 10.0, 10.0, 10.0)
        + of_start(LONGER_START, 11.0, 12.0, 13.0)
        + of_start(SHORT, 90.0, 90.0, 90.0)
    )
    ((label, own),) = starts.compared(pd.DataFrame(rows)).items()
    points = own.by_seed
    assert label == "E from A - E from glorot for 24 epochs, as many as A and E together"
    assert points.tolist() == [-1, -2, -3] and points.index.tolist() == [0, 1, 2]
    (line,) = starts.gains(pd.DataFrame(rows)).to_dict("records")
    assert (line["Points"], line["95 % interval"], line["Below 0"]) == ("-2.00", "-4.48 to +0.48", "3 of 3 seeds")
    assert line["E from A errs less"] == "undecided"
    assert starts.gains(pd.DataFrame(of_start(FROM_A, 10.0) + of_start(LONGER_START, 11.0))).empty  # one seed


def test_halves_of_both_are_set_against_e_and_a_with_all_the_epochs():
    rows = (
        of_start(HALVES, 5.0, 7.0)
        + of_start(SHORT, 10.0, 10.0)
        + of_start(FROM_A, 1.0, 1.0)
        + of_start(LONGER_START, 2.0, 2.0)
    )
    rows += of_start(("3", "he-fan-out", 12, 0), 4.0, 4.0, net="A")
    found = pd.DataFrame(rows)
    assert {label: own.differences.tolist() for label, own in starts.compared(found).items()} == {
        "E from A - E from glorot for 12 epochs, as many as A and E together": [-5, -3],
        "E from A - E from glorot for 24 epochs, as many as A and E together": [-1, -1],
    }
    ((label, own),) = starts.compared(found, "A").items()
    points = own.differences
    assert label == "E from A - A from he-fan-out for 12 epochs, as many as A and E together"
    assert points.tolist() == [1, 3]
    assert starts.gains(found)["Points"].tolist() == ["-4.00", "-1.00", "+2.00", "-3.00"]


def test_e_is_set_against_the_a_that_it_starts_from():
    rows = (
        of_start(FROM_A, 10.0, 13.0)
        + of_start(LONGER_START, 20.0, 20.0)
        + of_start(("3", "he-fan-out", 12, 0), 4.0, 5.0, net="A")
    )
    *_, line = starts.gains(pd.DataFrame(rows)).to_dict("records")
    assert line["Nets"] == "E from A - the A that it starts from, after its 12 epochs"
    assert (line["Points"], line["Below 0"]) == ("+7.00", "0 of 2 seeds")


def test_nets_of_different_devices_are_named():
    rows = of_start(FROM_A, 10.0, 10.0) + of_start(LONGER_START, 11.0, 12.0)
    for row, device in zip(rows, ("cpu", "cpu", "cpu", "cuda"), strict=True):
        row["environment"] = {"precision": "bf16", "device": device}
    found = pd.DataFrame(rows)
    assert starts.mixed_devices(found) == (
        "E from A - E from glorot for 24 epochs, as many as A and E together: for seed 1 the two nets were trained on "
        "different kinds of device."
    )
    assert not starts.mixed_devices(found[found["seed"] == 0])
    assert not starts.mixed_devices(found[found["seed"] == 1])  # one seed has no line in `gains`


def test_a_page_shows_what_there_is_or_how_to_make_it(store, monkeypatch, house_style):
    said, shown, drawn = [], [], []
    monkeypatch.setattr(show, "sentence", said.append)
    monkeypatch.setattr(show, "table", lambda frame, caption: shown.append(frame))
    monkeypatch.setattr(show, "picture", lambda figure, alt, caption: drawn.append(figure))
    follow_ups.equal_starts_of("demo")
    advice = (
        "`vgg run --preset demo` with `--table starts` and with `--table longer-starts` or `--table shorter-starts`"
    )
    assert advice in said.pop() and not shown
    follow_ups.equal_starts_of("tiny-imagenet")
    assert "`vgg run --preset tiny-imagenet --data-dir path/to/images` with `--table starts`" in said.pop()
    follow_ups.equal_starts_of("demo", epochs=6)
    assert "`vgg run --preset demo --epochs 6` with `--table starts`" in said.pop()
    follow_ups.equal_starts_of("demo", drop_deadlines=[0.5, 0.7, 0.9], precision=None)
    assert "`vgg run --preset demo --drop-deadlines 0.5,0.7,0.9` with" in said.pop()
    for seed in (0, 1):
        trained(store, "starts", seed)
        trained(store, "longer-starts", seed)
    assert starts.rows(store, "demo", epochs=6).empty
    follow_ups.equal_starts_of("demo")
    summary, gains = shown
    assert len(summary) == 5 and len(gains) == 2 and not said
    ((axes,),) = [figure.axes for figure in drawn]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["A", *RANDOM]
