"""Imports between layers go one way, and importing fmae_edge is cheap."""

import ast
import importlib.util
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import fmae_edge

TESTS = Path(__file__).parent
PACKAGE = Path(fmae_edge.__file__).parent
# A layer may import itself and the layers named here
LAYERS = {
    "runtime": (),
    "data": ("runtime",),
    "measure": ("runtime",),
    "model": ("runtime",),
    "evaluate": ("data", "measure", "runtime"),
    "train": ("model", "data", "measure", "runtime"),
    "export": ("model", "data", "measure", "runtime"),
    "bulk": ("data", "measure", "runtime"),
    "commands": ("runtime", "data", "measure", "bulk", "model", "evaluate", "train", "export"),
}
RUNTIME_MAY_IMPORT = {"numpy", "onnxruntime"}
# The parts of the runtime that each folder of it may import: folders, and modules next to them
RUNTIME_FOLDERS = {
    "bundle": ("errors",),
    "entropy": ("bundle", "arguments", "errors"),
    "format": ("bundle", "arguments", "latents", "errors"),
    "engine": ("bundle", "arguments", "images", "latents", "errors"),
}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def modules(layer):
    found = sorted((PACKAGE / layer).rglob("*.py"))
    assert found
    return [(path, name.split(".")) for path in found for name in imported(path)]


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_go_one_way(layer):
    for path, name in modules(layer):
        if name[0] == "fmae_edge" and len(name) > 1:
            assert name[1] in (layer, *LAYERS[layer]), f"{path} imports {'.'.join(name)}"


def test_the_runtime_imports_numpy_and_onnxruntime_only():
    for path, name in modules("runtime"):
        assert name[0] in sys.stdlib_module_names | RUNTIME_MAY_IMPORT | {"fmae_edge"}, path


def test_the_table_names_every_folder_of_the_runtime():
    assert {path.parent.name for path in (PACKAGE / "runtime").glob("*/*.py")} == set(RUNTIME_FOLDERS)


@pytest.mark.parametrize("folder", RUNTIME_FOLDERS)
def test_folders_of_the_runtime_import_what_the_table_says(folder):
    for path, name in modules(f"runtime/{folder}"):
        if name[0] == "fmae_edge":
            assert name[1] == "runtime", path
            assert name[2] in (folder, *RUNTIME_FOLDERS[folder]), f"{path} imports {'.'.join(name)}"


def imported_at_once(path):
    """Yield the imports that run while a module is imported: not those in functions or only for type checkers."""
    statements = list(ast.parse(path.read_text()).body)
    while statements:
        node = statements.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            statements += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        statements += ast.iter_child_nodes(node)


def test_no_module_imports_itself_through_others():
    names = {}
    for path in PACKAGE.rglob("*.py"):
        parts = ("fmae_edge", *path.relative_to(PACKAGE).with_suffix("").parts)
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph = {name: names.keys() & set(imported_at_once(path)) for name, path in names.items()}
    assert "fmae_edge.runtime.errors" in graph["fmae_edge.runtime.codec"]
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import circle: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: path.name)
def test_no_test_module_imports_a_test_file(path):
    """Shared code has its own modules, because pytest would collect the tests of an imported file twice."""
    for name in imported(path):
        if name.split(".")[0] == "tests":
            assert importlib.util.find_spec(name), f"{path}: there is no {name}"
            assert not name.rpartition(".")[2].startswith("test_"), f"{path} imports {name}"


@pytest.mark.parametrize("layer", ["data", "measure", "evaluate"])
def test_data_measure_and_evaluate_import_pytorch_only_to_download(layer):
    for path, name in modules(layer):
        assert name[0] not in ("torch", "torchvision") or path.name == "torchvision_import.py", path


def loaded_after(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_fmae_edge_loads_neither_numpy_nor_onnxruntime():
    assert not {"numpy", "onnxruntime"} & loaded_after("import fmae_edge")
    assert "numpy" in loaded_after("import fmae_edge; fmae_edge.Codec")


def test_onnxruntime_is_loaded_at_the_first_use():
    assert "onnxruntime" not in loaded_after("import fmae_edge; fmae_edge.Codec()")


def test_public_names_exist():
    for name in fmae_edge.__all__:
        assert getattr(fmae_edge, name) is not None
    assert set(fmae_edge.__all__) <= set(dir(fmae_edge))
    with pytest.raises(AttributeError, match="nothing_here"):
        fmae_edge.nothing_here  # noqa: B018
