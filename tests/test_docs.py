"""What the pages of docs/ show is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS, PACKAGE = ROOT / "docs", ROOT / "napari_papernets"
PAGES = sorted(page.name for page in DOCS.glob("*.md"))


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_of_a_page_is_there(name):
    named = re.findall(r"!\[[^\]]*\]\((images/[^)]+)\)", (DOCS / name).read_text("utf-8"))
    assert [picture for picture in named if not (DOCS / picture).is_file()] == []


def test_the_table_of_behaviours_names_every_module_and_only_what_is_there():
    page = (DOCS / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"`([\w/]+\.py)`", page.split("## Where is …?")[1]))
    there = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    plain = {name for name in there if not name.endswith(("__init__.py", "_version.py"))}
    assert sorted(plain - named) == []
    assert [name for name in sorted(named - plain) if not (ROOT / name).is_file()] == []


def test_the_page_of_the_vit_shows_every_view():
    """One picture at least in each section that is about a view of the panel."""
    sections = re.split(r"^## ", (DOCS / "vit.md").read_text("utf-8"), flags=re.MULTILINE)
    views = [section for section in sections if section[0].isdigit()]
    assert len(views) == 7
    assert [view.splitlines()[0] for view in views if "](images/vit_" not in view] == []
