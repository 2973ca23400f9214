"""Text from elsewhere (names, messages, host names) made safe to show on a screen. Pure."""

import unicodedata

_ACTING = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}  # Unicode categories that are not shown


def visible(text: str) -> str:
    r"""The text on one line, with a code for each character that is not shown but acts.

    Those are control characters, and marks that turn the direction of a line.

    >>> visible("a\x1b[31m\n\u202eb")
    'a\\x1b[31m \\u202eb'
    """
    return "".join(_visible(sign) for sign in text)


def _visible(sign: str) -> str:
    if sign in "\n\t":
        return " "
    if unicodedata.category(sign) not in _ACTING:
        return sign
    return sign.encode("unicode_escape", "surrogatepass").decode()
