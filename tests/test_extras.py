"""Each extra installs what its layer imports, and messages name the extra that installs a package."""

import ast
import re
import subprocess
import sys
import tomllib

import pytest

from fmae_edge.commands.import_errors import EXTRAS_OF_PACKAGES
from tests.conftest import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
OWN_ENVIRONMENTS = {"ray", "pyspark", "pandas"}  # make ray and make spark: they are large
DISTRIBUTIONS = {
    "PIL": "pillow",
    "py4j": "pyspark",
    "sklearn": "scikit-learn",
    "markupsafe": "jinja2",
}  # jinja2 brings markupsafe
EXTRAS = {
    "runtime": (),
    "data": ("cli",),
    "bulk": ("cli",),
    "bulk/arrow_rows.py": ("bulk",),
    "bulk/shards": ("bulk",),
    "bulk/local.py": ("bulk",),
    "bulk/ray.py": ("ray",),
    "bulk/spark.py": ("spark",),
    "model": ("train", "export"),
    "train": ("train",),
    "export": ("export",),
    "evaluate": ("evaluate",),
}
# Modules that other programs import, and not the command line
FOR_PROGRAMS = {"pillow": ("cli",), "numcodecs": ("zarr",), "zarr": ("zarr",)}


def installs(extra):
    """Return the names of the packages that `pip install 'fmae-edge[extra]'` requires."""
    project = PROJECT["project"]
    wanted = project["optional-dependencies"][extra] if extra else project["dependencies"]
    found = set()
    for requirement in wanted:
        name, extras = re.match(r"([\w-]+)(?:\[([\w,]+)])?", requirement).groups()
        found |= set().union(*map(installs, extras.split(","))) if name == "fmae-edge" else {name}
    return found


def files_of(part):
    """Return the files of a layer or a part of one, without those of parts that have an extra of their own."""
    path = REPOSITORY / "fmae_edge" / part
    found = set(path.rglob("*.py")) if path.is_dir() else {path.with_suffix(".py")}
    for other in EXTRAS:
        if other.startswith(f"{part}/"):
            found -= files_of(other)
    return found


def imported(part):
    for path in files_of(part):
        if path.name == "torchvision_import.py":  # only to download a data set, and a message says what is missing
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            yield from (name.partition(".")[0] for name in names)


@pytest.mark.parametrize(
    ("layer", "extra"),
    [(layer, extra) for layer, extras in (EXTRAS | FOR_PROGRAMS).items() for extra in extras or ("",)],
)
def test_an_extra_installs_what_its_layer_imports(layer, extra):
    packages = set(imported(layer)) - sys.stdlib_module_names - {"fmae_edge"}
    assert {DISTRIBUTIONS.get(package, package) for package in packages} <= installs(extra) | installs("")


def test_messages_name_extras_that_install_the_package():
    for package, extras in EXTRAS_OF_PACKAGES.items():
        for extra in extras.split(","):
            assert DISTRIBUTIONS.get(package, package) in installs(extra), package
    asked = {package for layer in EXTRAS for package in imported(layer)} - sys.stdlib_module_names
    assert asked - {"fmae_edge", "numpy", "onnxruntime"} <= set(EXTRAS_OF_PACKAGES)


def test_dev_installs_everything():
    everything = set().union(*map(installs, PROJECT["project"]["optional-dependencies"]))
    assert everything - OWN_ENVIRONMENTS == installs("dev")


def test_exact_versions_are_in_the_constraints_only():
    for requirements in PROJECT["project"]["optional-dependencies"].values():
        assert not [text for text in requirements if "==" in text.partition(";")[0]]
    pins = re.findall(r"^(\w+)==", (REPOSITORY / "constraints.txt").read_text(), flags=re.M)
    assert set(pins) <= installs("dev") | OWN_ENVIRONMENTS


def test_a_source_distribution_contains_the_files_that_its_tests_read():
    include = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {"fmae_edge", "spec", "scripts", "tests", "examples", "fuzz", "samples", "constraints.txt"} <= set(
        include
    )
    assert [name for name in include if not (REPOSITORY / name).exists()] == []


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("pillow", "PIL", "cli"),
        ("numcodecs", "numcodecs", "zarr"),
        ("zarr", "zarr", "zarr"),
        ("bulk.ray", "ray", "ray"),
        ("bulk.spark", "py4j", "spark"),
        ("bulk.arrow_rows", "pyarrow", "bulk"),
        ("bulk.shards.job", "pyarrow", "bulk"),
    ],
)
def test_importing_a_module_without_its_package_names_the_extra(module, package, extra):
    """It stays the error that programs catch to go on without the package."""
    code = f"import sys; sys.modules[{package!r}] = None; import fmae_edge.{module}"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY).stderr
    start = f"ModuleNotFoundError: this needs {package}"
    assert said.splitlines()[-1].startswith(start)
    assert said.endswith(f"install fmae-edge with [{extra}], as in pip install '.[{extra}]' in a clone\n")
