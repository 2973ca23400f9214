"""How times and ranges are said to a person. Pure."""


def duration(seconds: float) -> str:
    """A time, in seconds below a minute, in minutes below an hour, else in hours.

    >>> duration(44.6), duration(59.6), duration(3_000), duration(5_400)
    ('45 s', '1 min', '50 min', '1.5 h')
    """
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    if round(seconds / 60) < 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"


def span(numbers: list[int]) -> str:
    """Whole numbers in order, as a range where there is no gap.

    >>> span([1, 2, 3]), span([1, 3]), span([2])
    ('1-3', '1, 3', '2')
    """
    first, last = numbers[0], numbers[-1]
    if len(numbers) > 2 and numbers == list(range(first, last + 1)):
        return f"{first}-{last}"
    return ", ".join(map(str, numbers))
