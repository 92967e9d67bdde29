import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from vgglib import bench, show
from vgglib.bench import OURS, bench_goals, bench_page, bench_plots
from vgglib.results import write_sealed

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "book" / "speed.md"
TORCHVISION, TIMM, BEFORE = "torchvision's script", "timm's script, best options", f"{OURS} at abc1234"
NET_A, NET_D, LRN = "net A, 56 pixels, width 1/4", "net D, 56 pixels, width 1/4", "net A-LRN beside net A, 56 pixels"
ROUNDS = 6


def case(name, contenders, unit="images/s", **changes):
    usual = {"more_is_better": unit == "images/s", "points": False, "limit": None, "rounds": None}
    return {"name": name, "contenders": list(contenders), "unit": unit, **usual, **changes}


def made(root, suite, cases, found, device="cpu", left_out=(), forced=False, more=None, seconds=20.0):
    """Writes a record. found: (case, contender) -> values of the rounds; more: further values of measurements."""
    environment = {
        "device_name": "one processor" if device == "cpu" else "one card",
        "threads": 2,
        "cores": 4,
        "python": "3.11.9",
        "commit": "0123456789abcdef",
        "dirty": False,
        "versions": {"torch": "2.14", "timm": None},
        "measured_utc": "2026-01-02T03:04:05+00:00",
    }

    def measurements(name):
        return [
            {
                "contender": contender,
                "round": turn,
                "used_cores_before": 0.01 * turn,
                "seconds": seconds,
                "peak_memory_bytes": 2_000_000_000,
                "values": {"value": value, **(more or {}).get((name, contender), {})},
            }
            for (case, contender), values in found.items()
            if case == name
            for turn, value in enumerate(values)
        ]

    how = {"forced": forced, "images": "drawn", "environment": environment}
    timed = [
        {
            **case,
            **how,
            "measurements": measurements(case["name"]),
            "left_out": [
                {k: v for k, v in out.items() if k != "case"} for out in left_out if out["case"] == case["name"]
            ],
        }
        for case in cases
    ]
    record = {"schema": bench.SCHEMA, "suite": suite, "title": suite.capitalize(), "device": device, "cases": timed}
    write_sealed(bench.path(suite, device, root), record)


def training(root, device="cpu", forced=False):
    """Net A: 3000 images/s in every round, torchvision 600 (ours 5 times as fast), timm 2000 (1.5 times), before 1500.
    A-LRN at 2000 beside A at 3000. Net D misses its limit of 1700, and is slower than torchvision.
    """
    found = {
        (NET_A, OURS): [3000.0] * ROUNDS,
        (NET_A, TORCHVISION): [600.0] * ROUNDS,
        (NET_A, TIMM): [2000.0] * ROUNDS,
        (NET_A, BEFORE): [1500.0] * ROUNDS,
        (NET_D, OURS): [1600.0] * ROUNDS,
        (NET_D, TORCHVISION): [2000.0] * ROUNDS,
        (bench_page.STEP + NET_A, OURS): [4000.0] * ROUNDS,
        (LRN, OURS): [2000.0] * ROUNDS,
        (LRN, bench_page.NET_A): [3000.0] * ROUNDS,
        (LRN, "torch.nn.LocalResponseNorm"): [500.0] * ROUNDS,
    }
    cases = [
        case(NET_A, (OURS, TORCHVISION, TIMM, BEFORE), limit=3000.0),
        case(NET_D, (OURS, TORCHVISION), limit=1700.0),
        case(LRN, (OURS, bench_page.NET_A, "torch.nn.LocalResponseNorm")),
        case(bench_page.STEP + NET_A, (OURS, "compiled")),
    ]
    out = [{"case": bench_page.STEP + NET_A, "contender": "compiled", "reason": "there is no compiler."}]
    more = {(NET_A, OURS): {"peak_share": 0.25, "seconds_to_first_step": 4.0}}
    made(root, "training", cases, found, device, out, forced, more)


def growing(root):
    found = {("batch size", str(size)): [100.0 * size] * ROUNDS for size in (16, 64, 256)}
    found |= {("Q", str(q)): [0.001 * q] * 3 for q in (224, 288)}
    cases = [
        case("batch size", ("16", "64", "256"), points=True),
        case("Q", ("224", "288"), "s per image", points=True),
    ]
    made(root, "growth", cases, found)


def everything(root):
    training(root)
    growing(root)
    cases = [case("crop and flip", (OURS, "workers", "decoding alone"))]
    found = {("crop and flip", name): [speed] * ROUNDS for name, speed in ((OURS, 90.0), ("workers", 45.0))}
    made(root, "data", cases, found | {("crop and flip", "decoding alone"): [100.0] * ROUNDS})
    user = {("vgg --help", OURS): [0.2, 0.3, 0.25], ("vgg --help", "python alone"): [0.02] * 3, ("book", OURS): [70.0]}
    cases = [case("vgg --help", (OURS, "python alone"), "s"), case("book", (OURS,), "s", limit=60.0)]
    made(root, "user", cases, user, more={("vgg --help", OURS): {"torch_imported": 0}})


@pytest.fixture
def records(tmp_path):
    everything(tmp_path)
    return bench_page.records(tmp_path)


@pytest.fixture
def measured(records):
    """The record of training."""
    return records["training"][0]


def test_a_table_has_medians_advantages_and_what_else_is_known(measured):
    ours, torchvision, timm = bench_page.contenders(measured, NET_A).to_dict("records")
    assert ours == {
        "Contender": OURS,
        "Median, images/s": "3,000",
        "95 % interval": "3,000 to 3,000",
        "Ours, times as fast": "-",
        "Its 95 % interval": "-",
        "% of the matrix peak": "25.0",
        "Memory, GB": "2.00",
        "To the first step, s": "4.00",
    }
    assert torchvision["Ours, times as fast"] == "5.00"  # 3000 / 600
    assert timm["Its 95 % interval"] == "1.50 to 1.50" and timm["% of the matrix peak"] == "-"
    assert "% of the matrix peak" not in bench_page.contenders(measured, NET_D)


def test_a_sentence_names_the_fastest_and_the_slowest_of_the_others(measured):
    assert bench_page.said(measured, NET_A) == (
        f"**{NET_A}**: 3,000 images/s (3,000 to 3,000), 1.50 times as fast as {TIMM} (1.50 to 1.50) and 5.00 "
        f"times as fast as {TORCHVISION} (5.00 to 5.00)."
    )


def test_normalisation_is_shown_as_a_multiple_of_the_time_of_net_a(measured):
    table = bench_page.lrn(measured, LRN).set_index("Net")["Times the time of net A"]
    assert table.tolist() == ["1.50", "-", "6.00"]  # 3000 / 2000 and 3000 / 500
    assert table.index[0] == "A-LRN, this project"


def test_pairs_are_those_of_a_round(tmp_path):
    found = {(NET_A, OURS): [2.0, 20.0, 6.0], (NET_A, "other"): [1.0, 5.0]}
    made(tmp_path, "data", [case(NET_A, (OURS, "other"))], found)
    (record,) = bench_page.records(tmp_path)["data"]
    ratio, low, high = bench_page.paired(record, NET_A, OURS, "other")
    assert ratio == 3.0 and low != low and high != high  # the median of 2 and 4; two rounds give no interval


def test_what_was_to_be_reached_is_judged_by_the_median(records):
    table = bench_goals.reached(records)
    assert table[table["Met"] == "-"]["Ours"].tolist() == ["not timed"] * 6
    timed = table[table["Met"] != "-"]
    met = {(line["Case"], line["What"]): (line["To reach"], line["Ours"], line["Met"]) for _, line in timed.iterrows()}
    assert met == {
        (NET_A, "images/s"): ("at least 3,000", "3,000", "yes"),
        (NET_D, "images/s"): ("at least 1,700", "1,600", "no"),
        (NET_A, f"times as fast as {TORCHVISION}"): ("at least 4", "5.00", "yes"),
        (NET_D, f"times as fast as {TORCHVISION}"): ("at least 4", "0.800", "no"),
        (NET_A, f"times as fast as {TIMM}"): ("at least 1.7", "1.50", "no"),
        (LRN, f"times the time of {bench_page.NET_A}"): ("at most 1.35", "1.50", "no"),
        ("book", "s"): ("at most 60", "70.0", "no"),
    }


def test_what_did_not_hold_is_listed_and_parts_of_the_work_are_no_rivals(records):
    texts = bench_goals.not_held(records)
    assert len(texts) == 6
    assert (
        f"**{NET_D}**, on the processor: 1,600 images/s (1,600 to 1,600), where at least 1,700 was to be reached."
        in texts
    )
    assert texts[-1] == (
        f"**{NET_D}**, on the processor: {TORCHVISION} is faster; ours is 0.800 times as fast (0.800 to 0.800)."
    )
    assert not any("alone" in text for text in texts)


def test_on_a_gpu_the_share_of_the_peak_is_to_be_reached(tmp_path):
    large, small = (f"{bench_page.STEP}net D, {size} pixels, width 1" for size in (224, 56))
    names = (OURS, bench_page.COMPILED)
    found = {(large, OURS): [3000.0] * ROUNDS, (large, "compiled"): [4000.0] * ROUNDS}
    found |= {(small, OURS): [40_000.0] * ROUNDS, (small, "compiled"): [50_000.0] * ROUNDS}
    more = {(large, OURS): {"peak_share": 0.5}, (large, "compiled"): {"peak_share": 0.6}}
    made(tmp_path, "training", [case(large, names), case(small, names)], found, "cuda", more=more)
    records = bench_page.records(tmp_path)
    lines = [line for line in bench_goals.reached(records).to_dict("records") if line["Met"] != "-"]
    assert bench_goals.not_held(records) == [
        f"**{large}**, on the GPU: 50.0 % of the matrix peak (50.0 to 50.0), where at least 55 was to be reached.",
        f"**{small}**, on the GPU: 40,000 images/s (40,000 to 40,000), where at least 45,000 was to be reached.",
    ]
    assert [(line["On"], line["What"], line["To reach"], line["Ours"], line["Met"]) for line in lines] == [
        ("the GPU", "% of the matrix peak", "at least 55", "50.0", "no"),
        ("the GPU", "% of the matrix peak, compiled", "at least 55", "60.0", "yes"),
        ("the GPU", "images/s", "at least 45,000", "40,000", "no"),
        ("the GPU", "images/s, compiled", "at least 45,000", "50,000", "yes"),
    ]


def test_who_is_not_clearly_slower_is_named_as_what_it_is(tmp_path):
    found = {("crops", OURS): [1.0] * ROUNDS, ("crops", "level"): [0.98, 1.02] * 3, ("crops", "slow"): [0.5] * ROUNDS}
    found |= {("crops", "a part alone"): [9.0] * ROUNDS, (bench_page.STEP + "crops", OURS): [1.0]}
    found |= {(bench_page.STEP + "crops", "compiled"): [2.0]}
    cases = [case("crops", (OURS, "level", "slow", "a part alone"))]
    made(tmp_path, "data", [*cases, case(bench_page.STEP + "crops", (OURS, "compiled"))], found)
    (text,) = bench_goals.not_held(bench_page.records(tmp_path))
    assert text == "**crops**, on the processor: level is about as fast; ours is 1.00 times as fast (0.980 to 1.02)."


def test_a_rival_that_is_faster_in_few_rounds_is_not_called_level(tmp_path):
    found = {("crops", OURS): [1.0] * 3, ("crops", "quick"): [2.0] * 3}  # three rounds have no interval
    made(tmp_path, "data", [case("crops", (OURS, "quick"))], found)
    (text,) = bench_goals.not_held(bench_page.records(tmp_path))
    assert "quick is faster by the median, which the rounds do not make sure; ours is 0.500 times as fast" in text


def test_before_and_after_are_compared(records):
    (line,) = bench_page.before_and_after(records).to_dict("records")
    assert (line["Before"], line["Median before"], line["Median now"]) == ("abc1234", "1,500", "3,000")
    assert line["Now, times as fast"] == "2.00"


def test_a_user_sees_limits_and_the_share_of_python(records):
    help_, book = bench_page.user(records["user"][0]).to_dict("records")
    assert (help_["Seconds, median"], help_["Python alone, beside it"], help_["Limit"], help_["Met"]) == (
        "0.250", "0.0200", "-", "-",
    )  # fmt: skip
    assert (book["Seconds, median"], book["95 % interval"], book["Limit"], book["Met"]) == ("70.0", "-", "60", "no")
    assert book["Commit"] == "012345678"
    assert bench_page.torch_said(records["user"][0]) == "`vgg --help` does without PyTorch."


def test_growth_is_told_by_its_ends(records):
    first, second = bench_page.growth_said(records["growth"][0])
    assert first == "**batch size**: 1,600 images/s at 16, 25,600 at 256, 16.0 times as much."
    assert second.startswith("**Q**: 0.224 s per image at 224, 0.288 at 288")


def test_machines_and_durations(records):
    line = bench_page.machines(records).iloc[0]
    assert line["Threads of cores"] == "2 of 4" and line["Cases"] == 4 and line["Images"] == "drawn"
    assert line["Cores used by other programs, at most"] == 0.05
    assert bench_page.software(records) == ["Python 3.11.9, torch 2.14"]
    assert line["Commit"] == "012345678" and line["Measured until, UTC"] == "2026-01-02 03:04"
    line = bench_page.durations(records).iloc[0]
    assert (line["Command"], line["Measurements"], line["Minutes"]) == ("vgg bench training", 60, "20.0")  # 60 * 20 s


@pytest.mark.parametrize(
    "value, text",
    [(float("nan"), "-"), (None, "-"), (0.0444, "0.0444"), (9.999, "10.0"), (99.97, "100"), (1234.5, "1,234")],
)
def test_numbers_have_three_digits(value, text):
    assert bench_page.number(value) == text


def test_a_record_without_measurements_says_so(tmp_path):
    made(tmp_path, "training", [case(NET_A, (OURS, TORCHVISION), limit=3000.0)], {})
    records = bench_page.records(tmp_path)
    assert bench_page.said(records["training"][0], NET_A) == f"**{NET_A}**: this project was not timed."
    assert bench_goals.not_held(records) == [] and set(bench_goals.reached(records)["Ours"]) == {"not timed"}


def test_an_altered_record_is_refused_by_name(tmp_path):
    training(tmp_path)
    path = bench.path("training", root=tmp_path)
    record = json.loads(path.read_text())
    record["cases"][0]["measurements"][0]["values"]["value"] *= 2
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"training-cpu.json was changed .*: .*`vgg bench training`"):
        bench_page.records(tmp_path)


def test_figures_show_what_the_tables_say(records, house_style):
    measured = records["training"][0]
    figure = bench_plots.advantages(measured, bench_page.cases(measured, but=bench_page.LRN))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [NET_A, NET_D]  # a step has nothing beside it
    assert figure.axes[0].lines[0].get_xdata().tolist() == [5.0, 1.5]
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == [TORCHVISION]
    low, high = figure.axes[0].get_xlim()
    assert low < 0.8 and high > 5
    batch, scale = bench_plots.growth(records["growth"][0]).axes
    assert batch.get_xscale() == batch.get_yscale() == "log" and scale.get_xscale() == scale.get_yscale() == "linear"
    assert batch.lines[0].get_xydata().tolist() == [[16, 1600], [64, 6400], [256, 25600]]
    assert scale.get_xlabel() == "Q" and scale.get_ylabel() == "s per image"
    for drawn in (figure, batch.figure):
        drawn.canvas.draw()


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, as texts: sentences, tables with their captions, captions of pictures."""
    texts = []
    monkeypatch.setattr(show, "sentence", texts.append)
    monkeypatch.setattr(
        show, "table", lambda frame, caption: texts.append(f"{caption}\n{frame.to_string(index=False)}")
    )
    monkeypatch.setattr(show, "picture", lambda figure, alt, caption: texts.append(f"{caption}\n{alt}"))
    return texts


def display_the_page() -> None:
    """Run the page's cells on the records of VGG_RESULTS."""
    cells = re.findall(r"```\{code-cell\} python3\n:tags: \[remove-input\]\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(cells) == PAGE.read_text().count("{code-cell}") > 5
    namespace = {}
    with plt.rc_context():
        for cell in cells:
            exec(cell, namespace)
        plt.close("all")


def test_without_records_the_page_has_no_numbers_and_says_how_to_measure(shown):
    display_the_page()
    assert not re.search(r"\d", "".join(shown))
    for suite in bench.SUITES:
        assert f"`vgg bench {suite}` makes them" in "".join(shown)


def test_the_page_shows_the_records_of_a_processor_alone(tmp_path, shown):
    everything(tmp_path / "results")
    display_the_page()
    text = "\n".join(shown)
    for part in (
        "3,000 images/s",
        "Times the time of net A",
        "abc1234",
        "where at most 60 was to be reached",
        "no compiler",
    ):
        assert part in text
    assert "on the GPU" not in text and "`vgg bench evaluation` makes them" in text and "nan" not in text


def test_with_a_record_of_a_gpu_the_same_sections_appear_for_it(tmp_path, shown):
    training(tmp_path / "results", "cuda", forced=True)
    display_the_page()
    text = "\n".join(shown)
    assert "on the processor" not in text and f"Training on the GPU: {NET_A}" in text
    assert "may have been disturbed" in text and "vgg bench training --device cuda" in text


def test_no_result_is_typed_on_the_page():
    prose = re.sub(r"```.*?```|^---.*?^---|\A---.*?---", "", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"\d[\d.,]*", prose.replace("95 %", "").replace("bf16", "")) == []


def test_goals_and_pairs_are_about_cases_and_contenders_that_exist(tmp_path):
    from fnmatch import fnmatch
    from importlib import import_module

    from benchmarks.cases import Settings

    for goal in bench_goals.GOALS:
        for device in [device for device in bench_page.DEVICES if fnmatch(device, goal.device)]:
            cases = import_module(f"benchmarks.{goal.suite}").cases(Settings(device, 2, tmp_path))
            meant = [case for case in cases if fnmatch(case.name, goal.case) and not case.points]
            assert meant, goal
            assert all((goal.rival or goal.contender) in case.contenders for case in meant), goal
    cases = import_module("benchmarks.training").cases(Settings("cpu", 2, tmp_path))
    assert sum(case.name.startswith(bench_page.STEP) for case in cases) == 2
