"""How code blocks are read, and that every one of the documents is right as far as can be told.

What is run is run in ``test_run``.
"""

import json
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml

from lab.site.blocks import SHELL, Block, blocks, without_marks
from lab.site.commands import PROGRAMS, parser_of, reference
from lab.site.diagrams import draw
from tune_jobs.study.file import parse_study

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
LANGUAGES = {*SHELL, "python", "sql", "yaml", "toml", "json", "text", "mermaid"}
OWN = {"mine", "'mine'", "'dilated'", "letters"}  # models and datasets of pages' own
BLOCKS = [
    block for path in PAGES for block in blocks(str(path.relative_to(ROOT)), path.read_text())
]


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


def place(block: Block) -> str:
    return f"{block.page}:{block.line}"


PAGE = """
1. A list

   ```bash cluster
   ray up cluster.yaml && tune-jobs plan paper --max-concurrent 3  # hours
   ```

```yaml title="mine.yaml"
a: 1
```
```console
$ stir-analysis query "
    select 1" --results results
a 1
$ X=1 stir list | head
```
```
stir build emoji
```
"""


def test_a_block_knows_its_language_marks_title_and_commands():
    listed, file, console, bare = blocks("page.md", PAGE)
    assert (listed.language, listed.marks, listed.is_run) == ("bash", {"cluster"}, False)
    assert [*listed.commands("tune-jobs")] == [["tune-jobs", "plan", "paper", *LAST]]
    assert (file.title, file.text, file.is_run) == ("mine.yaml", "a: 1\n", True)
    assert [words[:2] for words in console.commands(*PROGRAMS)] == [
        ["stir-analysis", "query"],
        ["stir", "list"],
    ]
    assert "a 1" not in console.script
    assert (bare.is_run, [*bare.commands("stir")]) == (False, [["stir", "build", "emoji"]])


LAST = ["--max-concurrent", "3"]


def test_marks_are_gone_from_what_mkdocs_reads_and_titles_stay():
    read = without_marks(PAGE)
    assert "```bash\n" in read
    assert '```yaml title="mine.yaml"\n' in read
    assert without_marks(read) == read


def test_every_block_says_a_language_that_a_test_knows():
    assert {block.language for block in BLOCKS} <= LANGUAGES
    counts = Counter(block.language for block in BLOCKS)
    assert counts["python"] >= 10
    assert counts["sql"] >= 24


@pytest.mark.parametrize("block", of(*SHELL), ids=place)
def test_every_command_of_ours_is_accepted_by_its_parser(block: Block):
    for program, *words in block.commands(*PROGRAMS):
        command = next((word for word in words if not word.startswith("-")), None)
        parser_of(program, command).parse_args(words)


@pytest.mark.parametrize("block", of("yaml", "toml", "json"), ids=place)
def test_every_piece_of_data_can_be_read(block: Block):
    if block.language == "toml":
        tomllib.loads(block.text)
    elif block.language == "json":
        json.loads(block.text)
    else:
        content = yaml.safe_load(block.text)
        if isinstance(content, dict) and {"name", "axes"} <= content.keys():
            content.pop("imports", None)
            for axis, instead in (("model", "standard"), ("dataset", "emoji")):
                if OWN.intersection(str(content["axes"].get(axis)).strip("[]").split(", ")):
                    content["axes"][axis] = instead
            parse_study(content, where=place(block))


@pytest.mark.parametrize("block", of("python"), ids=place)
def test_every_python_block_compiles(block: Block):
    compile(block.text, place(block), "exec")


def test_the_reference_has_every_command_and_every_option():
    page = reference()
    assert "### tune-jobs run\n" in page
    assert "### stir-analysis query\n" in page
    assert "| `--only AXIS=V,V` |" in page
    for program in PROGRAMS:
        for parser in parser_of(program)._actions:
            for name in parser.choices or ():
                assert f"### {program} {name}\n" in page


def test_a_pile_of_boxes_is_drawn_without_a_script():
    drawn = draw('flowchart TB\n    a["one | two"]\n    b["three"]\n    a --> b\n')
    assert drawn.index("one") < drawn.index("two") < drawn.index("three")
    assert drawn.count('class="box"') == 2
    assert draw("flowchart LR\n a --> b\n b --> c").startswith("<pre>")
