import pytest

from vgglib import crosscheck
from vgglib.configs import TABLE_1, config
from vgglib.cost import counts


@pytest.mark.parametrize("net", TABLE_1)
def test_fvcore_counts_the_same_layer_by_layer(net):
    theirs = crosscheck.fvcore_macs(net)
    ours = {count.layer.name: count.macs for count in counts(config(net)) if count.macs}
    assert theirs == ours


def test_a_table_of_both_counts():
    table = crosscheck.multiply_adds(["A", "A-LRN"], image_size=32, num_classes=10).set_index("net")
    assert table["ours"].tolist() == table["fvcore"].tolist() == [171_679_744] * 2
    assert table["difference"].tolist() == [0, 0]


def test_torchvision_publishes_the_same_numbers():
    table = crosscheck.torchvision_counts()
    assert table["net"].tolist() == ["A", "B", "D", "E"]
    assert (table["parameters"] == table["theirs"]).all()
    assert table["gmacs"].tolist() == pytest.approx(table["their_gmacs"].tolist(), abs=5e-4)
