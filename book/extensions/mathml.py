"""Sphinx extension: formulas as MathML, which browsers draw themselves, so they need neither a script nor a network."""

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.errors import ExtensionError


def _visit(display: str):
    def visit(self, node):
        latex = node.astext().strip()
        try:
            formula = convert(latex, display=display)
        except Exception as error:
            raise ExtensionError(f"the formula {latex!r} cannot be drawn: {error!r}.") from error
        # What was written, for whoever copies the formula or has its source read out.
        formula = formula.replace("<math ", f'<math alttext="{self.attval(latex)}" ', 1)
        # A wide formula scrolls within its line, by keyboard too.
        line = '<div class="vgg-formula" tabindex="0" role="group" aria-label="Formula">'
        self.body.append(formula if display == "inline" else f"{line}{formula}</div>\n")
        raise nodes.SkipNode

    return visit


def setup(app):
    app.add_html_math_renderer("mathml", (_visit("inline"), None), (_visit("block"), None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
