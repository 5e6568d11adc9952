"""Make a root file system of another release or architecture of Debian, and run programs in it.

mmdebstrap only unpacks the packages, so nothing runs while it is made. Programs of another architecture run under
the static emulator of qemu-user, which is copied into the root, so the kernel needs no binfmt.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[2]
# What the tests of the runtime read
_COPIED = ("fmae_edge", "fuzz", "samples", "spec", "tests", "pyproject.toml")
_DEBIAN_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MACHINES = {"arm64": "aarch64", "amd64": "x86_64", "armhf": "arm", "ppc64el": "ppc64le"}  # as QEMU names them
_ARMV7 = """processor\t: 0
Features\t: half thumb vfp neon vfpv3 vfpv4 idiva idivt
CPU implementer\t: 0x41
CPU architecture: 7
CPU variant\t: 0x2
CPU part\t: 0xc0f
CPU revision\t: 4
"""
_GLIBC = range(17, 42)  # minor versions of manylinux wheels that any of the releases can run


class CannotRunError(Exception):
    """A sentence about what this machine lacks."""


class Root(NamedTuple):
    """The root file system in `folder` of a `release` of Debian, and how to run its programs."""

    folder: Path
    release: str
    machine: str
    emulated: bool

    @property
    def python(self) -> str:
        """The version of its Python, such as 3.14."""
        (library,) = (self.folder / "usr/lib").glob("python3.*")
        return library.name.removeprefix("python")

    def install(self, requirements: Sequence[str]) -> None:
        """Put wheels for its Python and CPU, from pip, into its folder /site. Installed ones are kept."""
        site, done = self.folder / "site", self.folder / "site.txt"
        wanted = "\n".join(requirements)
        if done.is_file() and done.read_text() == wanted:
            return
        shutil.rmtree(site, ignore_errors=True)
        platforms = [f"--platform=manylinux_2_{minor}_{self.machine}" for minor in _GLIBC]
        command = (sys.executable, "-m", "pip", "install", "--target", str(site), "--only-binary=:all:")
        quiet = ("--quiet", "--disable-pip-version-check", "--no-warn-conflicts", "--root-user-action=ignore")
        _run([*command, *quiet, f"--python-version={self.python}", *platforms, *requirements])
        done.write_text(wanted)

    def copy_repository(self) -> None:
        """Put the code and the tests of this repository into its folder /code."""
        shutil.rmtree(self.folder / "code", ignore_errors=True)
        for name in _COPIED:
            source, copy = REPOSITORY / name, self.folder / "code" / name
            copy.parent.mkdir(exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy)

    def run_python(self, arguments: Sequence[str], cpu: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run its Python in /code on one thread, on the model `cpu` of QEMU if given. Never raises for its errors.

        A native root sees this machine's /proc and /dev; an emulated one does not, because onnxruntime crashes if
        /proc describes another kind of CPU.
        """
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/tmp",
            "PYTHONPATH": "/code:/site",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
        }
        folder = str(self.folder)
        python = ["/usr/bin/python3", *arguments]
        if self.emulated or cpu:
            emulator = _emulator(self.machine)
            copy = self.folder / emulator.name
            copy.unlink(missing_ok=True)  # a running program cannot be overwritten
            shutil.copy(emulator, copy)
            options = ["-cpu", cpu] if cpu else []
            command = ["chroot", folder, f"/{emulator.name}", *options, *python]
        else:
            mounts = 'mount --bind /proc "$0/proc" && mount --bind /dev "$0/dev" && exec chroot "$0" "$@"'
            command = ["unshare", "--mount", "sh", "-c", mounts, folder, *python]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def make_root(folder: Path, architecture: str, packages: Sequence[str], releases: Sequence[str]) -> Root:
    """Return a root of the first release that has all packages for a Debian architecture, kept in `folder`.

    Mirrors may lack packages of a single architecture for days. Raises CannotRunError if no release has them.
    """
    machine = _MACHINES.get(architecture, architecture)
    emulated = architecture != _DEBIAN_ARCHITECTURES.get(os.uname().machine)
    roots = [Root(folder / f"{architecture}-{release}", release, machine, emulated) for release in releases]
    for root in roots:
        if root.folder.is_dir():
            return root
    errors = []
    for root in roots:
        new = root.folder.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        # The signature of a mirror's list is checked, its date is not: some mirrors are weeks old
        options = ("--variant=extract", '--aptopt=Acquire::Check-Valid-Until "false"')
        include = f"--include={','.join(('python3', 'libstdc++6', *packages))}"
        command = ["mmdebstrap", *options, f"--architectures={architecture}", include]
        command += [root.release, str(new), debian_mirror()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            _complete(new)
            if architecture == "armhf":
                _describe_armv7(new)
            new.rename(root.folder)
            return root
        shutil.rmtree(new, ignore_errors=True)
        errors += [line for line in done.stderr.splitlines() if line.startswith("E: ")][:1]
    raise CannotRunError(f"no root file system for {architecture} of {', '.join(releases)}: {'; '.join(errors)}")


def _complete(folder: Path) -> None:
    """Make the links and folders that the packages' own scripts would make."""
    for name in ("bin", "lib", "lib64"):
        if (folder / "usr" / name).exists() and not (folder / name).exists():
            (folder / name).symlink_to(f"usr/{name}")
    for library in folder.glob("usr/lib/*/*/lib*.so.3"):
        if library.parent.name in ("blas", "lapack") and not (link := library.parents[1] / library.name).exists():
            link.symlink_to(f"{library.parent.name}/{library.name}")
    for name in ("dev", "proc", "tmp"):
        (folder / name).mkdir(exist_ok=True)


def _describe_armv7(folder: Path) -> None:
    """Write what Linux says about an ARMv7 CPU: without it, onnxruntime aborts when it is imported."""
    (folder / "proc/cpuinfo").write_text(_ARMV7)
    cpus = folder / "sys/devices/system/cpu"
    cpus.mkdir(parents=True)
    for name in ("possible", "present"):
        (cpus / name).write_text("0\n")


def require_tools() -> None:
    """Raise CannotRunError if this machine cannot make roots or run programs in them."""
    if os.geteuid() != 0:
        raise CannotRunError("chroot needs root: run this as root, as CI does")
    for tool in ("apt-get", "mmdebstrap", "unshare", "chroot"):
        if shutil.which(tool) is None:
            raise CannotRunError(f"{tool} is missing; on Debian: apt-get install mmdebstrap qemu-user-static")
    _emulator("aarch64")
    debian_mirror()


def _emulator(machine: str) -> Path:
    for name in (f"qemu-{machine}-static", f"qemu-{machine}"):
        if found := shutil.which(name):
            return Path(found)
    raise CannotRunError(f"qemu-{machine}-static is missing; on Debian: apt-get install qemu-user-static")


def debian_mirror() -> str:
    """Return the address of the Debian mirror from which this machine's apt installs packages."""
    targets = _run(["apt-get", "indextargets", "--format=$(RELEASE) $(REPO_URI)", "Origin: Debian"])
    for line in targets.splitlines():
        release, address = line.split()
        if release.isalpha():  # neither bookworm-security nor bookworm-updates
            return address
    raise CannotRunError("apt knows no Debian mirror: run this on Debian, after apt-get update")


def _run(command: Sequence[str]) -> str:
    """Return what a command prints. Raises CannotRunError with its errors if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRunError(f"{' '.join(command)} fails: {done.stderr.strip()}")
    return done.stdout
