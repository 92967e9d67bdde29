import json
import re

import pytest
from bs4 import BeautifulSoup
from explorers import data_of, in_browser, of_records, texts
from records import D_HALF, SCALES, filled, put

from vgglib.display import explore_scales
from vgglib.metrics import interval_percent
from vgglib.plans import plan


@pytest.fixture
def b_at_three_scales(store):
    # Class 0 is right for both images. By scale: (right, wrong), (wrong, wrong), (right, wrong); means 0.6 and 0.4.
    for scale, first in ((224, 0.9), (256, 0.2), (288, 0.7)):
        put(store, SCALES, [[first, 1 - first], [0.4, 0.6]], "B", test_scale=scale)
    return store


def test_every_scale_alone_and_their_mean(b_at_three_scales):
    tests = data_of(explore_scales.scales(SCALES, b_at_three_scales))["B"]["tests"]["256"]
    low, high = interval_percent(50.0, 2)
    half = ["50.0", f"{low:.1f} to {high:.1f}", "–"]  # of two classes both are among the first five
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
    data = data_of(explore_scales.scales(entries, store))
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
    d = data_of(explore_scales.scales(SCALES, store))["D"]["tests"]["256-512"]
    assert "between 0.75 and 1.5 times as large" in d["384"][0]
    assert "between 0.5 and 2 times as large" in d["256, 384, 512"][0]


def test_the_chart_has_errors_in_their_places(b_at_three_scales):
    entries = [entry for entry in SCALES if entry.net == "B"]
    page = BeautifulSoup(explore_scales.scales(entries, b_at_three_scales), "html.parser")
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
    page = BeautifulSoup(explore_scales.scales(SCALES, store), "html.parser")
    images = {image.get_text(): image for image in page.select(".strip > span")}
    assert list(images) == ["S 256", "S 384", "S 512", *(f"Q {q}" for q in (224, 256, 288, 352, 384, 416, 512))]
    widths = {name: float(image["style"].removeprefix("width:").removesuffix("%")) for name, image in images.items()}
    assert widths["Q 512"] / widths["S 256"] == pytest.approx(2, rel=1e-3)
    # The crop leaves 144 of 512 pixels on either side.
    assert images["Q 512"].b["style"] == "inset:28.12%" and images["Q 224"].b["style"] == "inset:0.00%"
    shown = [name for name, image in images.items() if not image.has_attr("hidden")]
    assert shown == ["S 256", "Q 224", "Q 256", "Q 288"]


@pytest.mark.parametrize("which", [0, 1], ids=["ensembles", "scales"])
def test_the_fragment_stands_alone_without_records_too(which, store):
    empty = of_records(store)[which]
    assert "not run" in texts(empty)["says"]
    filled(store, [0])
    put(store, SCALES, [[0.9, 0.1]], "B")
    for markup in (empty, of_records(store)[which]):
        assert len(markup.encode()) < 32 * 1024
        assert "//" not in markup
        assert not re.search(r"\bid=|\bon\w+=|\bnan\b", markup)
        page = BeautifulSoup(markup, "html.parser")
        assert [element.name for element in page.find_all(recursive=False)] == ["div"]
        assert all(control.find_parent("label").span.get_text() for control in page.select("select, input"))
        assert page.fieldset.has_attr("disabled") and page.noscript.get_text()


def test_every_scale_in_the_browser_is_what_python_says(tmp_path, store):
    put(store, SCALES, D_HALF)
    markup = explore_scales.scales(SCALES, store)
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
    assert in_browser(tmp_path, explore_scales.scales(SCALES, store), script) == [
        ["D", "384", "416"],
        ["D", "256-512", "512"],  # the third again
        ["B", "256", "288"],
        ["D", "256", "288"],
        ["D", "384", "416"],
    ]
