import re

import numpy as np
import pytest
from test_tables import frame, row

from vgglib import show
from vgglib.experiments import plan


@pytest.fixture
def shown(monkeypatch):
    """What was displayed, as HTML or Markdown."""
    found = []

    def display(thing, raw=False):
        found.append(thing["text/html"] if raw else getattr(thing, "data", str(thing)))

    monkeypatch.setattr(show, "display", display)
    return found


def cells(html):
    return [re.findall(r"<td>(.*?)</td>", line) for line in html.split("<tr>")[1:]]


def test_the_plan_names_every_training_once_with_its_tests(shown):
    show.the_plan(plan("demo", "5", ["D"], [0, 1]) + plan("demo", "3", ["D"], [0, 1]))
    assert shown[0].count("<tr>") == 3  # D at 256, 384 and with jitter; the head has a style
    jitter = next(line for line in cells(shown[0]) if "256-512" in line)
    assert jitter == ["D", "256-512", "S = 384", "4", "0.00015", "256 384 512", "256 384 512", "0, 1"]
    assert "he-fan-out, seven layers from A" in shown[0] and "width 0.125" in shown[0]
    show.the_plan(plan("demo", "6", seeds=[0]))  # only D and E see crops
    assert "NaN" not in shown[1] and "<th>Q, dense</th>\n      <th>Q, multi-crop</th>" in shown[1]


def test_a_table_names_the_papers(shown):
    show.the_table(frame(row("E", table="5", method="multi-crop", top1=12.5)))
    assert "Table 5" in shown[0] and "12.5" in shown[0] and 'role="region"' in shown[0]
    show.the_table(frame(row()), "7")
    assert "Table 7" in shown[1] and "may be compared" in shown[2]


def test_a_table_leaves_out_nets_that_were_not_asked_for(shown):
    show.the_table(frame(row("A", top1=12.5), row("C", top1=None, status="not run")))
    assert [line[0] for line in cells(shown[0]) if line] == ["A", "C", "C", "C"]
    show.the_table(frame(row("E", table="5")), "3")
    assert [line[0] for line in cells(shown[1]) if line] == ["E", "E", "E"]


def test_verdicts_are_a_table_and_sentences(shown):
    show.verdicts(frame(row("A"), row("A-LRN")), "lrn", "weights")
    assert "undecided" in shown[0] and "reproduced" in shown[0]
    assert shown[1].startswith("**Local response normalisation does not help: undecided**")
    show.details(frame(row("A", wrong=np.array([True, False])), row("A-LRN", wrong=np.array([False, False]))), "lrn")
    assert "McNemar" in shown[-1]


def test_the_cost_of_evaluation_by_hand(shown):
    rows = [
        row("D", seed, table="5", method=method, evaluation_seconds=s, environment={"device_name": "a machine"})
        for method, seconds in (("dense", (2.0, 4.0)), ("multi-crop", (14.0, 16.0)))
        for seed, s in enumerate(seconds)
    ]
    show.evaluation_cost(frame(*rows))
    assert ["D", "15.0", "75.0", "5.0", "a machine"] in cells(shown[0])  # 200 images
    show.evaluation_cost(frame(*rows[:2]))
    assert shown[1] == "The cost is not known: Table 5 has not been run."


def test_chance(shown):
    show.chance(frame(row(n_classes=20)))
    assert "95.0 %" in shown[0] and "75.0 %" in shown[0]
    show.chance(frame(row(n_classes=None)))
    assert "not known" in shown[1]


def test_what_reads_records_works_without_any(shown):
    show.scoreboard("smoke")
    show.starts_of("smoke")
    assert shown[0].count("not run") >= 10 and shown[1].count("not run") == 3
