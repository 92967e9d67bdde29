import json
import re
from itertools import product

import pytest
from bs4 import BeautifulSoup
from explorers import in_browser, parts, texts

from vgglib import explore
from vgglib.configs import TABLE_1, config
from vgglib.display import explorer_frame
from vgglib.receptive_field import fields

PICTURE = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"  # one pixel
EXPLORERS = {"fields": explore.receptive_fields, "stacks": explore.filter_stacks}


def lines(markup, net):
    return {line[0]: line[1:] for line in json.loads(parts(markup)["data"].string)["nets"][net]}


def test_the_first_state_is_the_central_unit_of_the_last_pool():
    found = texts(explore.receptive_fields(["D"]))
    # By hand: 212 pixels from 3 * 32 - 90 on.
    assert [found[key] for key in ("size", "stride", "padding", "units")] == ["212 × 212 px", "32 px", "90 px", "7 × 7"]
    assert found["rows"] == found["columns"] == "6 to 217"
    assert (found["outside"], found["all"], found["kind"]) == ("0.0 %", "no", "max-pool")
    assert texts(explore.receptive_fields(["A"]))["size"] == "150 × 150 px"


def test_the_first_state_counts_padding_beyond_both_edges():
    found = texts(explore.receptive_fields(["E"]))
    # By hand: 268 pixels from 3 * 32 - 118 on, of which 224 lie in the image: 1 - (224 / 268)^2.
    assert (found["rows"], found["outside"], found["all"]) == ("−22 to 245", "30.1 %", "yes")


@pytest.mark.parametrize("image_size", [224, 250])
def test_the_data_hold_every_layer_of_every_net(image_size):
    markup = explore.receptive_fields(image_size=image_size)
    for net in TABLE_1:
        assert lines(markup, net) == {
            layer.name: [layer.kind, field.size, field.stride, field.padding, units]
            for layer, field, units in fields(config(net), image_size)
        }
    if image_size == 224:
        assert lines(markup, "D")["fc6"] == ["fc", 404, 32, 90, 1]


def test_the_drawing_has_room_for_every_field():
    left, top, width, height = map(float, parts(explore.receptive_fields(["A", "E"]))["drawing"]["viewbox"].split())
    assert left == top <= -118  # fc6 of E reaches this far over both edges
    assert width == height >= 224 + 2 * 118


def test_the_stack_of_the_paper():
    found = texts(explore.filter_stacks())
    assert (found["field"], found["field1"]) == ("7 × 7", "7 × 7")
    assert (found["coefficient"], found["coefficient1"]) == ("27 C²", "49 C²")
    assert (found["weights"], found["weights1"]) == (f"{27 * 512**2:,}", f"{49 * 512**2:,}")
    assert (found["rectifications"], found["rectifications1"]) == ("3", "1")
    assert "81 % more" in found["says"]


def test_the_fields_of_every_stack():
    sizes = json.loads(parts(explore.filter_stacks())["data"].string)["sizes"]
    assert {int(kernel) for kernel in sizes} == set(explore.KERNELS)
    for kernel, found in sizes.items():
        assert found == [1 + count * (int(kernel) - 1) for count in range(1, 7)]


@pytest.mark.parametrize("make", EXPLORERS.values(), ids=EXPLORERS)
def test_the_fragment_stands_alone(make):
    markup = make()
    assert markup == make()
    assert len(markup.encode()) < 12 * 1024
    assert "//" not in markup  # no address, so nothing to fetch
    assert not re.search(r"\bid=|\bon\w+=", markup)  # the same explorer twice on a page would have an id twice
    page = BeautifulSoup(markup, "html.parser")
    assert [element.name for element in page.find_all(recursive=False)] == ["div"]
    assert all(control.find_parent("label").span.get_text() for control in page.select("select, input"))
    assert page.svg["role"] == "img" and page.svg["aria-label"]
    assert page.noscript.get_text()


def test_data_cannot_end_their_script():
    assert explorer_frame.as_json({"a": "</script>"}) == '{"a":"\\u003c/script>"}'


def test_a_picture_takes_the_place_of_the_grey_square():
    markup = explore.receptive_fields(["D"], picture=PICTURE)
    assert BeautifulSoup(markup, "html.parser").svg.image["href"] == PICTURE
    assert 'class="paper"' not in markup


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"nets": ["D", "F"]}, "unknown net 'F'"),
        ({"nets": []}, "name at least one of A"),
        ({"image_size": 0}, "an image of 0 pixels leaves nothing"),
        ({"image_size": -224}, "an image of -224 pixels leaves nothing"),
        ({"picture": "cat.png"}, "the picture starts with 'cat.png': give a data URI"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        explore.receptive_fields(**arguments)


def test_the_script_starts_with_what_python_wrote(tmp_path):
    markups = [
        explore.receptive_fields(),
        explore.filter_stacks(),
        explore.receptive_fields(["E"], 256, PICTURE),
        explore.filter_stacks(),
    ]
    script = """return [...roots].map((root, i) => ({texts: read(i), drawing: root.querySelector("svg").outerHTML,
      ready: !root.querySelector("fieldset").disabled,
      keys: [...root.querySelectorAll("select, input")].every((part) => "lmSuppressShortcuts" in part.dataset)}));"""
    for markup, found in zip(markups, in_browser(tmp_path, "".join(markups), script), strict=True):
        assert found["keys"]  # JupyterLab leaves the arrow keys to these controls
        assert found["ready"]  # and disabled without a script
        assert BeautifulSoup(markup, "html.parser").fieldset.has_attr("disabled")
        assert found["texts"] == texts(markup)
        assert BeautifulSoup(found["drawing"], "html.parser").svg == BeautifulSoup(markup, "html.parser").svg


def test_choosing_units_shows_their_fields(tmp_path):
    asked = [
        (net, layer, field, units, row, column)
        for net in ("A-LRN", "D", "E")
        for layer, field, units in fields(config(net))
        for row, column in ((0, units - 1), (units // 3, units // 2))
    ]
    choices = [
        {"net": net, "layer": layer.name, "row": row, "column": column} for net, layer, _, _, row, column in asked
    ]
    script = f"return {json.dumps(choices)}.map((values) => choose(0, values));"
    seen = in_browser(tmp_path, explore.receptive_fields(), script)
    for (net, layer, field, units, row, column), found in zip(asked, seen, strict=True):
        share = 1 - (1 - field.outside(row, 224)) * (1 - field.outside(column, 224))
        spans = ["{} to {}".format(*field.span(unit)).replace("-", "−") for unit in (row, column)]
        assert found["says"].startswith(f"Net {net}, {layer.name}: the unit in row {row}, column {column} sees ")
        assert found["size"] == f"{field.size} × {field.size} px"
        assert found["units"] == f"{units} × {units}"
        assert [found["rows"], found["columns"]] == spans
        # Browsers round 6.25 to 6.3, Python to 6.2.
        assert float(found["outside"].removesuffix(" %")) == pytest.approx(100 * share, abs=0.0501)
        assert found["all"] == ("yes" if field.sees_all(row, 224) and field.sees_all(column, 224) else "no")


def test_the_drawing_follows_the_unit(tmp_path):
    script = """
    choose(0, {layer: "pool5", row: 0, column: 5});
    const place = (key) => ["x", "y", "width", "height"].map((name) => +at(0, key).getAttribute(name));
    const [centre, label] = [["centre", "transform"], ["drawing", "aria-label"]].map(
      ([key, name]) => at(0, key).getAttribute(name));
    return {field: place("field"), seen: place("seen"), centre, label};"""
    # By hand, for D: 212 pixels from 32 * 5 - 90 = 70 on along a row, from -90 on along a column.
    assert in_browser(tmp_path, explore.receptive_fields(["D"]), script) == {
        "field": [70, -90, 212, 212],
        "seen": [70, 0, 154, 122],
        "centre": "translate(176 16)",
        "label": "An image of 224 × 224 pixels with the field of one unit of pool5: "
        "rows −90 to 121, columns 70 to 281.",
    }


def test_another_net_keeps_the_layer_and_the_place(tmp_path):
    script = """
    const layer = () => [at(0, "layer").value, at(0, "row").value, at(0, "row").max, at(0, "row").disabled];
    const kept = [];
    for (const values of [{layer: "conv3_1", row: 8}, {net: "E"}, {layer: "conv3_4"}, {net: "A"}, {layer: "fc6"},
      {layer: "pool5"}]) {
      choose(0, values);
      kept.push(layer());
    }
    return kept;"""
    assert in_browser(tmp_path, explore.receptive_fields(["A", "E"]), script) == [
        ["conv3_1", "8", "55", False],
        ["conv3_1", "8", "55", False],
        ["conv3_4", "8", "55", False],
        ["pool3", "4", "27", False],  # A has no conv3_4: the pool behind it
        ["fc6", "0", "0", True],
        ["pool5", "3", "6", False],
    ]


def test_every_stack_is_what_python_says(tmp_path):
    asked = list(product(explore.KERNELS, range(1, explore.MOST_LAYERS + 1), explore.CHANNELS[:2]))
    choices = [
        {"kernel": f"{kernel} × {kernel}", "layers": layers, "channels": channels} for kernel, layers, channels in asked
    ]
    script = f"""return {json.dumps(choices)}.map((values) => ({{...choose(0, values),
      box: at(0, "drawing").getAttribute("viewBox"), drawn: at(0, "drawing").getAttribute("aria-label"),
      grid: at(0, "grid").getAttribute("d"), squares: at(0, "squares").innerHTML}}));"""
    for choice, found in zip(asked, in_browser(tmp_path, explore.filter_stacks(), script), strict=True):
        expected = explore._stack(*choice)
        assert {key: found[key] for key in expected} == expected


def test_only_what_was_chosen_changes(tmp_path):
    script = "choose(1, {kernel: '5 × 5', layers: 2}); return [read(0), read(1)].map((texts) => texts.coefficient);"
    assert in_browser(tmp_path, 2 * explore.filter_stacks(), script) == ["27 C²", "50 C²"]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ((3, 2, 64), "39 % more"),  # 18 C^2 against 25 C^2
        ((3, 1, 64), "the same layer"),
        ((1, 3, 64), "67 % fewer"),  # three 1x1 layers see no more than one does
    ],
)
def test_the_sentence_about_a_stack(arguments, sentence):
    assert sentence in explore._stack(*arguments)["says"]
