"""Numbers are shown as a spreadsheet shows them."""

import datetime

import pytest

from ingestion.loaders.number_format import shown


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (1234.5, '#,##0.00 "EUR"', "1,234.50 EUR"),
        (1234.5, "[$€-407] #,##0.00", "€ 1,234.50"),
        (1234.5, '#,##0.00\\ "руб."', "1,234.50 руб."),
        (-1234.5, "#,##0.00;[Red](#,##0.00)", "(1,234.50)"),
        (-1234.5, "#,##0.0", "-1,234.5"),
        (0, '0.0;-0.0;"-"', "-"),
        (0, '_(* #,##0_);_(* \\(#,##0\\);_(* "-"??_);_(@_)', "-"),
        (0.5, "#.00", ".50"),
        (0, "#,###", ""),
        (12, "_-* #,##0.00_-", "12.00"),
        (0.25, "0%", "25%"),
        (0.2567, "0.0%", "25.7%"),
        (1.005, "0.00", "1.01"),
        (1_234_567, '#,##0.0,,"M"', "1.2M"),
        (3.14159, "0.###", "3.142"),
        (2, "0.###", "2"),
        (7, "000", "007"),
        (15_000_000_000.0, "0.00E+00", "1.50E+10"),
        (0.5, "# ?/?", "0.5"),
        (0.1 + 0.2, "General", "0.3"),
        (5.0, "General", "5"),
        (7, "@", "7"),
        (True, "0", "TRUE"),
        (None, "0", ""),
        ("a word", "0.00", "a word"),
        (datetime.datetime(2025, 3, 31), "dd.mm.yyyy", "2025-03-31"),
        (datetime.datetime(2025, 3, 31, 9, 5), "m/d/yy h:mm", "2025-03-31 09:05:00"),
        (datetime.time(9, 5), "h:mm", "09:05:00"),
        (datetime.timedelta(hours=30, minutes=5), "[h]:mm", "30:05:00"),
    ],
)
def test_shown(value: object, code: str, text: str) -> None:
    assert shown(value, code) == text


@pytest.mark.parametrize("code", ['"', "\\", "[", "_", "*", ";;;", '0"', "[$", "%", "#,", ",0", "0;0;0;0;0", "E+0"])
def test_a_damaged_format_does_no_harm(code: str) -> None:
    for value in (1.5, -1.5, 0):
        assert isinstance(shown(value, code), str)
