"""Read one compressed file that the user gave."""

from fmae_edge.bulk.sources import Source, read
from fmae_edge.runtime.errors import InputError
from fmae_edge.runtime.format.fmae_file import is_fmae, max_file_bytes
from fmae_edge.runtime.format.npy_file import MAGIC, file_bytes


def read_compressed(source: Source, refusal: str, latents: bool = True) -> bytes:
    """Return the content of a .fmae file or, with `latents`, of a .npy file.

    The first bytes tell which it is and how long it may be. Raises InputError with `refusal` if it is neither.
    """

    def most(start: bytes) -> int:
        if is_fmae(start):
            return max_file_bytes(start)
        if latents and start.startswith(MAGIC):
            return max(file_bytes(start, str(source)), len(start))
        raise InputError(f"{source}: {refusal}")

    return read(source, most)
