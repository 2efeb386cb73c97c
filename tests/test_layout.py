"""The package keeps its own rules: who may import whom, and what no module may do."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

PACKAGE = Path(__file__).resolve().parents[1] / "convlstm"

# A module imports only from rooms above its own, or from its own.
ORDER = (
    "errors",
    "types",
    "config",
    "config_file",
    "shipped",
    "atomic",
    "allocator",
    "opencv_threads",
    "interrupts",
    "clips",
    "heatmap",
    "boxes",
    "steady_crop",
    "events",
    "region",
    "progress",
    "sources",
    "models",
    "utils.data",
    "inference.engines",
    "export.graphs",
    "inference",
    "verify",
    "detections_file",
    "verification",
    "evaluation",
    "export",
    "report",
    "utils.callbacks",
    "training",
    "watch",
    "detection",
    "eval",
    "benchmark",
    "toolkits.origin",
    "toolkits.runner",
    "toolkits",
    "demo",
    "cli_flags",
    "cli_data",
    "cli",
    "__main__",
)
MODULES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    """Dotted name below the package; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def rank(name: str) -> int:
    for position, room in enumerate(ORDER):
        if name == room or name.startswith(f"{room}."):
            return position
    raise AssertionError(f"convlstm.{name} has no place in ORDER: give it one")


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names of all modules that a tree imports, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a module stands"
            assert node.module is not None
            for alias in node.names:
                inside = PACKAGE.parent.joinpath(*node.module.split("."), alias.name)
                is_module = inside.is_dir() or inside.with_suffix(".py").exists()
                yield f"{node.module}.{alias.name}" if is_module else node.module


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def relative(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_the_rules_see_the_package() -> None:
    names = {module_name(path) for path in MODULES}
    assert {"", "config", "sources.video", "models.temporal_classifier"} <= names
    assert "convlstm.clips" in set(imported(parse(PACKAGE / "sources" / "folder.py")))


@pytest.mark.parametrize("path", [p for p in MODULES if p.name != "__init__.py"], ids=relative)
def test_a_module_imports_only_from_above(path: Path) -> None:
    own = rank(module_name(path))
    below = [
        name
        for name in imported(parse(path))
        if name.startswith("convlstm.") and rank(name.removeprefix("convlstm.")) > own
    ]
    assert not below, f"{relative(path)} imports from below: {below}"


@pytest.mark.parametrize("path", [p for p in MODULES if p.name == "__init__.py"], ids=relative)
def test_init_files_only_hand_names_on(path: Path) -> None:
    for statement in parse(path).body:
        if isinstance(statement, ast.FunctionDef):
            assert statement.name in ("__getattr__", "__dir__"), relative(path)
        else:
            allowed = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.If)
            assert isinstance(statement, allowed), f"{relative(path)}: {ast.unparse(statement)}"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_what_no_module_does(path: Path) -> None:
    tree = parse(path)
    for function, call in calls(tree):
        where = f"{relative(path)}:{call.lineno}"
        assert function != "print" or path.name in ("cli.py", "cli_data.py"), (
            f"{where} prints: log it, or leave it to cli.py"
        )
        assert function not in ("eval", "exec"), f"{where} calls {function}"
        for keyword in call.keywords:
            if keyword.arg == "weights_only":
                assert ast.unparse(keyword.value) == "True", f"{where} loads whatever a file says"
            assert keyword.arg != "allow_pickle" or ast.unparse(keyword.value) == "False", f"{where} allows pickle"
        if function == "torch.load":
            assert any(keyword.arg == "weights_only" for keyword in call.keywords), f"{where}: say weights_only=True"
    assert not {name.split(".")[0] for name in imported(tree)} & {"pickle", "dill", "cloudpickle", "joblib", "shelve"}
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path"), f"{relative(path)}: sys.path"


def test_utils_holds_two_folders_and_nothing_is_a_grab_bag() -> None:
    entries = {entry.name for entry in (PACKAGE / "utils").iterdir() if entry.name != "__pycache__"}
    assert entries <= {"__init__.py", "data", "callbacks"}
    bags = {"misc", "helpers", "common", "util"}
    assert not [path for path in MODULES if bags & set(path.relative_to(PACKAGE).with_suffix("").parts)]


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import convlstm, sys; sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
