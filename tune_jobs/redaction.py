"""Secrets taken out of what is shown, logged or stored. All messages and records pass here."""

import os
import re

HIDDEN = "***"
_NAMES = (
    r"[\w.-]*(?:secret|token|passw(?:or)?d|pwd|passphrase|signature|credential|authorization"
    r"|api[_-]?key|access[_-]?key)[\w.-]*"
)
_PATTERNS = (
    # A user's name and password before a host, the password with @ or / in it, too.
    (re.compile(r"(?<=://)[^\s/@?#'\"]*:(?!\d+[/?'\"\s])[^\s'\"]*@"), f"{HIDDEN}@"),
    (re.compile(r"(?<=://)[^\s/?#'\"]*@"), f"{HIDDEN}@"),
    (re.compile(r"(?<![\w/*@])[\w.+%-]+:[^\s/:@'\"]+@(?=[\w\[])"), f"{HIDDEN}@"),
    (re.compile(r"\b(?i:bearer|basic)\s+[\w.~+/=-]{8,}"), HIDDEN),
    (re.compile(rf"\b((?i:{_NAMES})['\"]?\s*[=:]\s*['\"]?)[^\s&'\",;)]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)([?&;](?:sig|key|auth|code|x-amz-[\w-]+)=)[^\s&'\",;)]+"), rf"\1{HIDDEN}"),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), HIDDEN),
)
_VARIABLES = re.compile(rf"(?i){_NAMES}")
# Where a secret is, not what; and the shell's folders.
_PLACES = re.compile(r"(?i)(?:path|file|dir|url|uri|endpoint|^pwd|^oldpwd)$")
_SHORTEST = 8  # characters of a variable's value that is looked for; a shorter one may be a word
_OF_A_URI = re.compile(r"(?<=://).*@|\?.*", re.DOTALL)


def redact(text: str) -> str:
    """A text without the secrets in it: passwords in URIs (with a scheme or without), tokens, keys.

    What secret variables of the environment hold is taken out wherever it stands. Rather too much
    is hidden than too little.

    >>> redact("s3://me:topsecret@host/x and me:topsecret@host:9000, token=abc")
    's3://***@host/x and ***@host:9000, token=***'
    """
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _VARIABLES.fullmatch(name) and not _PLACES.search(name):
            text = text.replace(value, HIDDEN)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def without_secrets(uri: str) -> str:
    """A URI to be shown: without a user's name and password, and without its query.

    >>> without_secrets("http://me:topsecret@host:5000/a?password=b")
    'http://host:5000/a'
    """
    return _OF_A_URI.sub("", uri)


def secrets_of(uri: str) -> list[str]:
    """What ``without_secrets`` takes out of a URI."""
    return _OF_A_URI.findall(uri)
