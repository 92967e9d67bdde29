import pytest

from vgglib.experiments import Experiment
from vgglib.plans import plan
from vgglib.training.schedule import next_learning_rate


def rates(errors, **settings):
    """The learning rate of each epoch, were these the errors after each; chance is 95 %."""
    own = Experiment("A", 0, learning_rate=1.0, **settings)
    return [next_learning_rate(own, errors[:n], 95.0) for n in range(len(errors) + 1)]


def test_the_rate_drops_when_the_error_has_not_improved_for_patience_epochs():
    errors = [50, 40, 41, 40, 39, 39, 39, 39, 39, 39, 39]
    found = rates(errors, epochs=74, patience=2)
    # 41 and 40 do not improve on 40: a drop; after 39, every second epoch drops; the fourth time ends it.
    assert found == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3, None])


def test_no_drop_before_the_net_has_left_chance():
    assert rates([95, 95, 95, 91, 93, 92], epochs=74, patience=2) == [1] * 7
    assert rates([95, 95, 90, 93, 92], epochs=74, patience=2) == pytest.approx([1, 1, 1, 1, 1, 0.1])


def test_the_rule_wakes_up_where_guessing_errs_little():
    """Of two classes of which one has 96 % of the images guessing errs 4 %: no net is five points below that."""
    own = Experiment("A", 0, learning_rate=1.0, epochs=74, patience=2)
    errors = [4, 4, 4, 2.1, 2.1, 2.1]
    assert next_learning_rate(own, errors, 4.0) == 1
    assert next_learning_rate(own, [*errors, 2.0, 2.0, 2.0], 4.0) == pytest.approx(0.1)


def test_deadlines_drop_the_rate_of_a_net_that_keeps_improving():
    errors = list(range(80, 70, -1))
    found = rates(errors, epochs=10, patience=3, drop_deadlines=(0.6, 0.8, 0.9))
    assert found == pytest.approx([1] * 6 + [0.1] * 2 + [0.01, 1e-3, None])


def test_training_ends_after_epochs():
    assert rates([50, 40, 30], epochs=3, patience=5)[-1] is None


def test_a_later_stage_of_the_demo_has_its_rate_for_half_of_its_epochs_and_no_epoch_after_the_third_drop():
    later = [entry.runs[0].experiment for entry in plan("demo", "jitter", ["D"], [0])]
    for own in later:
        found = [next_learning_rate(own, [40, 39, 38, 37][:n], 95.0) for n in range(5)]
        assert found == pytest.approx([1.5e-4, 1.5e-4, 1.5e-5, 1.5e-6, None])
    assert [own.scale_text for own in later] == ["384", "384+384", "256-512"]
