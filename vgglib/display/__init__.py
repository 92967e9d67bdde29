"""Figures, explorers and sections of the book that stand on `vgglib.plots`, `vgglib.explore` and `vgglib.show`."""
