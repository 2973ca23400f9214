"""What MkDocs does beside its settings: pages made from the repository, links, marks of blocks.

Named under ``hooks`` in mkdocs.yml; the functions are called by their names.
"""

import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from lab.site.blocks import without_marks
from lab.site.commands import reference

ROOT = Path(__file__).parents[2]
log = logging.getLogger("mkdocs.hooks")
COPIES = {  # files of the repository that are pages of the site
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
}
EXAMPLES = {
    name: f"examples/{name}.md" for name in ("own_model", "own_dataset")
}  # folders that are a page each
LATER = "More"  # the section of pages that mkdocs.yml does not name
_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_LANGUAGES = {".py": "python", ".toml": "toml", ".yaml": "yaml"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and name those that the navigation leaves out."""
    for name, target in COPIES.items():
        made = _links_from_the_root((ROOT / name).read_text())
        files.append(File.generated(config, target, content=made))
    for name, target in EXAMPLES.items():
        files.append(File.generated(config, target, content=_example(ROOT / "examples" / name)))
    files.append(File.generated(config, "reference/commands.md", content=reference()))
    named = set(_leaves(config.nav))
    rest = [file.src_uri for file in files.documentation_pages() if file.src_uri not in named]
    assert config.nav is not None
    if rest:
        config.nav.append({LATER: sorted(rest)})
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to files of the repository to the pages that show them; drop marks of blocks."""
    here = posixpath.dirname(page.file.src_uri)

    def led(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", here, match[2]))
        if target.startswith("docs/") or "://" in match[2]:
            return match[0]
        found = _page_of(target)
        if found is None:
            log.warning("%s links to %s, which is no page of the site", page.file.src_uri, target)
            return match[0]
        return f"{match[1]}{posixpath.relpath(found, here or '.')}{match[3]}"

    return _LINK.sub(led, without_marks(markdown))


def _page_of(target: str) -> str | None:
    """The page that shows a file or folder of the repository."""
    if target == "README.md":
        return "index.md"
    folder = target.removeprefix("examples/").partition("/")[0]
    return COPIES.get(target) or (EXAMPLES.get(folder) if target.startswith("examples/") else None)


def _links_from_the_root(text: str) -> str:
    """A page of the repository's root, whose links into docs/ lead from there."""
    return re.sub(r"\]\(docs/", "](", text)


def _example(folder: Path) -> str:
    """The README of an example, then each of its files."""
    parts = [(folder / "README.md").read_text()]
    for path in sorted(folder.iterdir(), key=lambda path: (path.name.startswith("test"), path)):
        if path.suffix in _LANGUAGES:
            parts.append(f"## {path.name}\n\n```{_LANGUAGES[path.suffix]}\n{path.read_text()}```\n")
    return "\n".join(parts)


def _leaves(nav: Any) -> list[str]:
    """Every page that a navigation names."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav or ()
    return [leaf for part in parts for leaf in _leaves(part)]
