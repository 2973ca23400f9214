"""Inputs made by rule: YAML, SQL, storage URIs and command lines that are nearly right."""

import random
from collections.abc import Sequence

from lab.fuzz.spoil import NAMES

_COLUMNS = ("model", "dataset", "test_accuracy", "seed", "started_at", "epochs", "point_id", "*")
_TABLES = ("trials", "reported", "epochs", "scale_accuracy", "nothing", "(select 1 as model)")
_CALLS = (
    "avg({})",
    "count(distinct {})",
    "cast({} as interval)",
    "cast({} as bit)",
    "{} + interval 1 month",
    "date '294247-01-10'",
    "timestamp 'infinity'",
    "repeat(cast({} as varchar), 50)",
    "struct_pack(a := {})",
    "map {{'a': {}}}",
    "[{}, {}]",
    "1 / 0",
    "cast(1e400 as double)",
    "'\x1b[31m' || {}",
    "chr(0) || {}",
    "uuid()",
    "cast({} as blob)",
    "cast(99999999999999999999 as hugeint)",
    "union_value(a := {})",
    "time '12:00:00'",
)
_TAILS = (
    "",
    "limit 5",
    "group by 1",
    "order by 1 desc nulls last",
    "where {} is null",
    "; select 1",
)
_WHOLE = (
    "drop table trials",
    "copy trials to '/tmp/never.csv'",
    "select * from read_csv('/etc/passwd')",
    "attach 'x.db'",
    "pragma database_list",
    "set memory_limit = '64GB'",
    "with recursive r as (select 1 as n union all select n + 1 from r) select count(*) from r",
    "select * from range(10000000000)",
    "select a.*, b.* from trials a, trials b, trials c limit 5000",
    "explain select 1",
    "",
    ";",
    "select 1 as a, 2 as a",
)


def sql(rng: random.Random) -> str:
    """Mostly a SELECT over the tables, with something that DuckDB or a file format dislikes."""
    if rng.random() < 0.15:
        return rng.choice(_WHOLE)
    column = rng.choice(_COLUMNS)
    wanted = ", ".join(
        rng.choice((column, rng.choice(_CALLS).format(column, column)))
        for _ in range(rng.randint(1, 3))
    )
    tail = rng.choice(_TAILS).format(column)
    text = f"select {wanted} from {rng.choice(_TABLES)} {tail}"
    if rng.random() < 0.2:
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice(NAMES) + text[at + rng.randint(0, 3) :]
    return text


_PIECES = (
    *(
        "s3:",
        "S3:",
        "file:",
        "gs:",
        "http:",
        "//",
        "/",
        "\\",
        "~",
        ".",
        "..",
        "C:",
        "bucket",
        "p q",
    ),
    *("?", "&", "=", "#", "@", ":", "%00", "%2F", "%zz", "[::1", "[::1]:9000", "user:pass@host"),
    *("endpoint_override=", "scheme=http", "scheme=ftp", "region=", "localhost:99999"),
)


def uri(rng: random.Random) -> str:
    """Something like the address of a storage."""
    start = rng.choice(("", "s3://", "s3://bucket/prefix", "s3://bucket?", "runs"))
    return start + "".join(rng.choice((*_PIECES, *NAMES)) for _ in range(rng.randint(0, 5)))


def yaml(rng: random.Random) -> str:
    """YAML with what other readers fall over: aliases, tags, octals, doubled and odd keys."""
    lines = []
    for _ in range(rng.randint(1, 6)):
        key = rng.choice(("name", "axes", "phases", "search", "recipe", "? [a]", "<<", "1", '""'))
        value = rng.choice(
            ("010", "on", "1:30", "&a [*a]", "*a", "!!python/object:os.system {}", "!!binary x",
             "2026-13-45", "[" * 50, "{" * 50, "'", '"\\x"', "|", ">-", "1e400", "9" * 5000,
             "{model: standard, seed: {from: 1, to: 99999999999}}", "[standard, standard]", "null")
        )  # fmt: skip
        lines.append(f"{key}: {value}")
    if rng.random() < 0.1:
        lines = ["a0: &a0 [x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    return "\n".join(lines)


def arguments(known: Sequence[str], rng: random.Random) -> list[str]:
    """A command line of ``known`` arguments, numbers and names in any order."""
    pool = (*known, *NAMES, "0", "-1", "1e9", "--", "--json", "--storage", "=", "--seconds=nan")
    return [rng.choice(pool).replace("\0", "") for _ in range(rng.randint(0, 6))]
