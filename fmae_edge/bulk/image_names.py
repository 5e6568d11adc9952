"""The names of images in one file of many inputs, and which inputs cannot have one."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from fmae_edge.bulk.sources import Source
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.format.image_names import as_names


def names_of(sources: Sequence[Source], keep_going: bool) -> dict[Source, str | InputError]:
    """Return the name of each input, or the reason why it cannot have one.

    In a folder given with -r, the name is the path below it, without the suffix. Of two inputs whose names exclude
    each other, the first gets its name. Raises InputError if an input is given twice, or without `keep_going` if
    one cannot have a name: no image need be read then.
    """
    found: dict[Source, str | InputError] = {}
    taken: dict[str, Source] = {}
    folders: dict[str, Source] = {}  # that names are in
    for source in sources:
        name = (source.below / source.path.stem).as_posix()
        if name in taken and taken[name].path == source.path:
            raise InputError(f"{source} is given twice")
        above = [str(folder) for folder in PurePosixPath(name).parents]
        problem = _problem_of(source, name, above, taken, folders)
        if problem and not keep_going:
            raise InputError(problem)
        found[source] = InputError(problem) if problem else name
        if not problem:
            taken[name] = source
            folders |= dict.fromkeys(above, source)
    return found


def _problem_of(
    source: Source, name: str, above: Sequence[str], taken: dict[str, Source], folders: dict[str, Source]
) -> str:
    """Return why an input cannot have a name that lies in the folders `above`, or nothing."""
    try:
        as_names([name], 1)
    except InputError as error:
        return f"{source}: {error}; rename it, or leave out --names"
    if name in taken:
        return (
            f"{taken[name]} and {source}: both would have the name {name!r}; rename one, leave out --names, or "
            "give the folder that holds both with -r, which keeps the folders in it as a part of the names"
        )
    if name in folders:
        problem = f"its name {name!r} is a folder in the name of {folders[name]}"
        return f"{source}: {problem}; rename it, or leave out --names"
    for folder in above:
        if folder in taken:
            return (
                f"{source}: {folder!r} in its name is the name of {taken[folder]}; rename it, or leave out --names"
            )
    return ""
