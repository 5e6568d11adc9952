"""Imports between layers go one way, modules are small, and importing fmae_edge is cheap."""

import ast
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
    "evaluate": ("model", "data", "measure", "runtime"),
    "train": ("model", "data", "measure", "runtime"),
    "export": ("model", "data", "measure", "runtime"),
    "bulk": ("data", "measure", "runtime"),
    "page": ("runtime",),
    "pillow": ("runtime",),
    "numcodecs": ("runtime",),
    "zarr": ("numcodecs", "runtime"),
    "commands": ("runtime", "data", "measure", "bulk", "page", "model", "evaluate", "train", "export"),
    "cli": ("runtime", "data", "measure", "bulk", "page", "model", "evaluate", "train", "export", "commands"),
    "__main__": ("cli",),
}
WITHOUT_PYTORCH = ("runtime", "data", "measure", "bulk", "page", "evaluate", "pillow", "numcodecs", "zarr")
MAX_LINES = 300
RUNTIME_MAY_IMPORT = {"numpy", "onnxruntime"}
# The parts of the runtime that each folder of it may import: folders, and modules next to them
RUNTIME_FOLDERS = {
    "bundle": ("errors",),
    "entropy": ("bundle", "arguments", "errors"),
    "format": ("bundle", "arguments", "latents", "errors"),
    "engine": ("bundle", "arguments", "images", "latents", "errors"),
}


def names_in(nodes):
    """Yield every dotted name that the imports among `nodes` may load."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import of {node.module}"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported(path):
    return names_in(ast.walk(ast.parse(path.read_text())))


def modules(layer):
    found = sorted((PACKAGE / layer).rglob("*.py")) or [PACKAGE / f"{layer}.py"]
    return [(path, name.split(".")) for path in found for name in imported(path)]


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_go_one_way(layer):
    for path, name in modules(layer):
        if name[0] == "fmae_edge" and len(name) > 1:
            assert name[1] in (layer, *LAYERS[layer], "__version__"), f"{path} imports {'.'.join(name)}"


def test_the_table_names_every_layer():
    found = {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in PACKAGE.rglob("*.py")}
    assert found - {"__init__"} == set(LAYERS)


def test_no_module_is_longer_than_a_reader_wants():
    for folder in (PACKAGE, TESTS.parent / "fuzz", TESTS.parent / "benchmarks", TESTS.parent / "scripts"):
        for path in folder.rglob("*.py"):
            assert len(path.read_text().splitlines()) <= MAX_LINES, path


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
            assert len(name) == 2 or name[2] in (folder, *RUNTIME_FOLDERS[folder]), (
                f"{path} imports {'.'.join(name)}"
            )


def names_of_modules():
    """Return the path of each module of the package by its dotted name."""
    names = {}
    for path in PACKAGE.rglob("*.py"):
        parts = ("fmae_edge", *path.relative_to(PACKAGE).with_suffix("").parts)
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imported_at_once(path):
    """Yield the imports that run while a module is imported: not those in functions or only for type checkers."""
    left, found = list(ast.parse(path.read_text()).body), []
    while left:
        node = left.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            left += node.orelse
            continue
        found.append(node)
        left += ast.iter_child_nodes(node)
    return names_in(found)


def test_no_module_imports_itself_through_others():
    names = names_of_modules()
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
        if name.startswith("tests."):
            assert not any(part.startswith("test_") for part in name.split(".")), f"{path} imports {name}"


def test_layers_without_pytorch_import_it_neither_themselves_nor_through_others():
    """torchvision is imported in one module, to download a named data set."""
    names = names_of_modules()
    left = [name for name in names if name.startswith(tuple(f"fmae_edge.{layer}" for layer in WITHOUT_PYTORCH))]
    seen = set(left)
    while left:
        path = names[left.pop()]
        used = set(imported(path))
        packages = {name.partition(".")[0] for name in used}
        assert not {"torch", "torchvision"} & packages or path.name == "torchvision_import.py", path
        left += (names.keys() & used) - seen
        seen |= names.keys() & used


def private_names(path):
    """Yield the private names of other modules that a module uses, each as `module.name`."""
    tree, aliases = ast.parse(path.read_text()), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("fmae_edge", "fuzz", "tests"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names if is_private(alias.name))
            aliases |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and is_private(node.attr):
            if node.value.id in aliases:
                yield f"{aliases[node.value.id]}.{node.attr}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("setattr"):
            of, name = node.args[:2]
            if isinstance(of, ast.Constant) and is_private(of.value.rpartition(".")[2]):
                yield of.value
            elif isinstance(of, ast.Name) and of.id in aliases and is_private(getattr(name, "value", "")):
                yield f"{aliases[of.id]}.{name.value}"


def is_private(name):
    return isinstance(name, str) and name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("folder", ["fmae_edge", "fuzz", "benchmarks", "examples", "scripts", "samples"])
def test_no_module_uses_a_private_name_of_another(folder):
    for path in (TESTS.parent / folder).rglob("*.py"):
        assert list(private_names(path)) == [], path


def test_tests_use_private_names_of_their_own_layer_only():
    for path in TESTS.rglob("*.py"):
        folder = path.relative_to(TESTS).parts[0]
        layers = ("commands", "cli") if folder == "commands" else (folder,)
        for name in private_names(path):
            assert name.split(".")[1] in layers or not name.startswith("fmae_edge."), f"{path} uses {name}"


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
