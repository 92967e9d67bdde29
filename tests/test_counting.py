import sys

from vgglib.running import counting


def test_what_was_done_before_counts_in_no_rate(clock):
    count = counting.Count()
    count(1000, 4000)
    assert count.text() == "1,000 of 4,000 images"
    clock[0] += 10
    count(1500, 4000)
    assert count.rate() == 50
    assert count.text() == "1,500 of 4,000 images, 50 a second, about 0:50 left"
    clock[0] += 50
    count(4000, 4000)
    assert count.text() == "4,000 of 4,000 images, 50 a second"


def test_a_log_has_few_lines(clock, capsys):
    with counting.Log() as count:
        for done in range(101):
            count(done, 100)
            clock[0] += 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "0 of 100 images" and lines[-1].startswith("100 of 100") and len(lines) == 6


def test_a_terminal_shows_a_bar(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with counting.fitting() as count:
        count(0, 200)
        clock[0] += 2
        count(100, 200)
    assert "100 of 200 images, 50 a second, about 0:02 left" in capsys.readouterr().err.replace("\n", " ")


def test_a_log_is_chosen_where_nobody_watches():
    assert isinstance(counting.fitting(), counting.Log)
