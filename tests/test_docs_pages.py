"""The pages and drawings made from the code are as the code would make them now, and every link leads somewhere."""

from __future__ import annotations

import importlib.util
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import inspector
import tinygrad_rnn as tg

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
PATH = re.compile(r"(?<![\w/.-])(?:tinygrad_rnn|inspector|tests|benchmarks|examples|docs)/[\w./-]*\w")
REFERENCE = re.compile(r":\w+:`~?((?:tinygrad_rnn|inspector)\.[\w.]+)`")


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", DOCS / "make.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def resolves(name: str) -> bool:
    """Whether a dotted name is that of a module, or of something in one."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def test_every_cell_is_on_the_pages_at_every_level(make: ModuleType) -> None:
    listed = [name for family in make.FAMILIES.values() for name in family]
    assert sorted(listed) == sorted(tg.cells.names())
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    for name in listed:
        for level in make.pictures.GALLERY:
            assert f"pictures/gallery/{name}-{level}.svg" in text


def test_the_pages_are_up_to_date(make: ModuleType) -> None:
    for page, write in make.PAGES.items():
        if page == "numpy.md" and make.as_of_numpy() not in (DOCS / page).read_text(encoding="utf-8"):
            continue  # another NumPy has other functions
        assert (DOCS / page).read_text(encoding="utf-8") == write(), f"docs/{page} is old: make docs"


def test_every_picture_that_is_made_is_there_and_shown_on_a_page() -> None:
    made = re.findall(r'folder / f?"([\w/{}-]+\.png)"', (DOCS / "pictures.py").read_text(encoding="utf-8"))
    assert len(made) > 15 and all("{" in name or (DOCS / "pictures" / name).exists() for name in made)
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [
        path.name
        for path in (DOCS / "pictures").rglob("*.*")
        if f"pictures/{path.relative_to(DOCS / 'pictures').as_posix()}" not in pages
    ] == []


def test_every_scene_of_the_page_has_its_picture(make: ModuleType) -> None:
    import screens  # beside make.py, which puts its folder on the path

    assert {path.stem for path in (DOCS / "pictures" / "page").iterdir()} == set(screens.SCENES)


def test_what_is_said_of_compared_cells_is_what_is_found(make: ModuleType) -> None:
    page = (DOCS / "compare.md").read_text(encoding="utf-8")
    for a, b in make.pictures.COMPARED:
        words = inspector.compare_graphs(tg.cells.get(a)(3, 4, seed=0), tg.cells.get(b)(3, 4, seed=0)).words
        assert words in page, f"docs/compare.md tells something else of {a} and {b}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_files_and_folders_that_a_page_names_are_there(page: Path) -> None:
    named = PATH.findall(page.read_text(encoding="utf-8")) if page.exists() else []
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_what_docstrings_refer_to_is_there() -> None:
    lost = []
    for package in (tg, inspector):
        for file in Path(package.__path__[0]).rglob("*.py"):
            lost += [(file.name, name) for name in REFERENCE.findall(file.read_text("utf-8")) if not resolves(name)]
    assert lost == []
    assert resolves("tinygrad_rnn.compiler.CompiledCell.programs") and not resolves("tinygrad_rnn.compile.kernels")
    assert PATH.findall("see `tinygrad_rnn/training/` and (inspector/old.py).") == [
        "tinygrad_rnn/training",
        "inspector/old.py",
    ]


def test_every_page_is_reached_from_the_readme() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        links = (
            (page.parent / target).resolve()
            for target in LINK.findall(page.read_text(encoding="utf-8"))
            if target.endswith(".md")
        )
        waiting += [link for link in links if link not in seen and link.exists()]
    assert {page.name for page in PAGES} <= {page.name for page in seen}


def test_pictures_are_made_by_name(make: ModuleType, tmp_path: Path) -> None:
    make.pictures.make(["gallery/rnn-cell"], tmp_path)
    assert [path.name for path in (tmp_path / "gallery").iterdir()] == ["rnn-cell.svg"]
    with pytest.raises(ValueError, match="no picture is called nothing"):
        make.pictures.make(["nothing"], tmp_path)
    assert "pictures" in sys.modules
