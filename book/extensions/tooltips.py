"""Sphinx extension: the first mention of a glossary's term on a page leads to it and shows its definition."""

import re
from functools import cache

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform

# Lists of names and works, where a link on every other word would be in the way.
NOT_ON = ("book/api", "book/references")
NOT_INSIDE = (
    nodes.reference,
    nodes.literal,
    nodes.title,
    nodes.caption,
    addnodes.pending_xref,
    nodes.math,
    nodes.strong,
)


class Tooltips(SphinxPostTransform):
    default_priority = 900  # after references and the outputs of notebooks are in place
    formats = ("html",)

    def run(self, **kwargs):
        here, glossary = self.env.docname, self.config.tooltips_glossary
        if here == glossary or here.startswith(NOT_ON) or glossary not in self.env.found_docs:
            return
        waiting = dict(_terms(self.env, glossary))
        address = self.app.builder.get_relative_uri(here, glossary)
        for text in list(self.document.findall(nodes.Text)):
            if _is_prose(text):
                pieces = _linked(str(text), waiting, address)
                if len(pieces) > 1:
                    text.parent.replace(text, pieces)


@cache
def _terms(env, glossary):
    """Term -> (its anchor, its definition); of several terms with one definition each has it."""
    found = {}
    for item in env.get_doctree(glossary).findall(nodes.definition_list_item):
        definition = next(item.findall(nodes.definition)).astext().split("\n\n")[0].replace("\n", " ")
        for term in item.findall(nodes.term):
            found[term.astext()] = (term["ids"][0], definition)
    return found


def _is_prose(text) -> bool:
    inside = False
    node = text.parent
    while node is not None:
        if isinstance(node, NOT_INSIDE):
            return False
        inside = inside or isinstance(node, nodes.paragraph)
        node = node.parent
    return inside


def _linked(text, waiting, address):
    """The text in pieces, with a link at the first mention of each term; terms found are no longer waiting."""
    pieces, rest = [], text
    while found := _first(rest, waiting):
        term, start, end = found
        anchor, definition = waiting.pop(term)
        link = nodes.reference("", rest[start:end], refuri=f"{address}#{anchor}", internal=True, classes=["vgg-term"])
        link["reftitle"] = definition
        pieces += [nodes.Text(rest[:start]), link]
        rest = rest[end:]
    return [*pieces, nodes.Text(rest)]


def _first(text, waiting):
    """The first mention of any term: (term, start, end); of two that start together the longer."""
    mentions = [
        (found.start(), -len(term), term, found.end()) for term in waiting if (found := _mention(term).search(text))
    ]
    if not mentions:
        return None
    start, _, term, end = min(mentions)
    return term, start, end


@cache
def _mention(term):
    """Whole words, also in the plural; case matters only in names such as MAC and S."""
    ignore = re.IGNORECASE if term.islower() else 0
    return re.compile(rf"(?<![\w-]){re.escape(term)}s?(?![\w-])", ignore)


def setup(app):
    app.add_config_value("tooltips_glossary", "book/glossary", "env")
    app.add_post_transform(Tooltips)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
