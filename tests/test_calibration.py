import numpy as np
import pandas as pd
import pytest
from answers import LABELS, nothing, of, saying
from rows import row

from vgglib.analysis import calibration


def test_reliability_by_hand():
    labels = np.array([0, 0, 0, 0])
    posteriors = np.array([[0.62, 0.38], [0.68, 0.32], [0.9, 0.1], [0.05, 0.95]])
    own = of(posteriors[None], labels)
    table = calibration.reliability(own)
    assert table["images"].tolist() == [2, 1, 1]  # 0.9 belongs to the bin from 0.8 to 0.9
    assert table["confidence"].tolist() == pytest.approx([65, 90, 95])
    assert table["accuracy"].tolist() == [100, 100, 0]
    # (2 x 35 + 10 + 95) / 4
    assert calibration.calibration_error(posteriors.max(1), ~own.wrong[0]) == pytest.approx(43.75)
    # In one bin the errors cancel: |3 - 3.15| / 4.
    assert calibration.calibration_error(posteriors.max(1), ~own.wrong[0], bins=1) == pytest.approx(3.75)


def test_a_calibrated_net_has_an_error_too():
    # One image of confidence 1/2, right or not: always 50 points off.
    assert calibration.calibrated_error(np.array([0.5])) == 50
    # Two of them: off by 50 points in half of the draws and by none in the others.
    assert calibration.calibrated_error(np.full(2, 0.5), draws=20000) == pytest.approx(25, abs=1)
    # Many: the mean of |normal| is sqrt(2 / pi) times its standard deviation, 50 / sqrt(10000).
    assert calibration.calibrated_error(np.full(10_000, 0.5), draws=2000) == pytest.approx(
        0.5 * (2 / np.pi) ** 0.5, abs=0.02
    )
    assert calibration.calibrated_error(np.ones(5)) == 0


def test_calibration_has_a_line_for_what_is_missing():
    a = saying([[0, 0, 1, 1, 0]], LABELS)  # right in four of five, with confidence 0.8
    rows = pd.DataFrame([row(top1_error_percent=20.0), row(net="E", status="failed")])
    table = calibration.table(rows, [a, nothing("E"), nothing("D")])
    assert table.iloc[0, :4].tolist() == ["A", "20.0", "+0.0", "0.0"]
    assert float(table["of a calibrated net"].iloc[0]) > 5
    assert table.iloc[0, 5:].tolist() == ["1", "done"]
    assert table.iloc[1].tolist() == ["E", "-", "-", "-", "-", "0", "1 failed"]
    assert table.iloc[2].tolist() == ["D", "-", "-", "-", "-", "0", "not run"]  # of a net without records
