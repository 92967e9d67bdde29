"""What explorers show, in their markup and in a browser."""

import json

import pytest
from browser import CHROMIUM, opened
from bs4 import BeautifulSoup
from records import ENSEMBLES, SCALES

from vgglib.display import explore_ensembles, explore_scales


def parts(markup):
    """The parts of an explorer that change with the selection: name -> element, without its script running."""
    return {element["data-at"]: element for element in BeautifulSoup(markup, "html.parser").select("[data-at]")}


def texts(markup):
    return {name: element.get_text() for name, element in parts(markup).items() if name not in ("data", "layer", "net")}


def data_of(markup):
    return json.loads(parts(markup)["data"].string)


def of_records(store):
    """Those that are made of records."""
    return [explore_ensembles.ensembles(ENSEMBLES, store), explore_scales.scales(SCALES, store)]


def in_browser(folder, markup, script):
    """What `script` returns when it runs below `markup` in a browser, as data; it may call `choose`, and `read` the
    texts of an explorer, by number.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: the explorers are not run")
    helpers = """
    const roots = document.querySelectorAll("[data-vgg-explorer]");
    const at = (root, key) => roots[root].querySelector(`[data-at="${key}"]`);
    const read = (root) => Object.fromEntries([...roots[root].querySelectorAll("[data-at]")]
      .filter((part) => !["data", "net", "layer"].includes(part.dataset.at))
      .map((part) => [part.dataset.at, part.textContent]));
    const choose = (root, values) => {
      for (const key in values) {
        at(root, key).value = values[key];
        at(root, key).dispatchEvent(new Event("input", {bubbles: true}));
      }
      return read(root);
    };
    """
    page = folder / "page.html"
    page.write_text(f'<!DOCTYPE html><meta charset="utf-8">{markup}', encoding="utf-8")
    with opened() as browser:
        shown = browser.new_page()
        shown.goto(page.as_uri())
        return shown.evaluate(f"() => {{{helpers}{script}}}")
