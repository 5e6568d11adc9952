"""What needs no graph works where onnxruntime is not installed: describing, checking and decoding to symbols."""

import subprocess
import sys

import numpy as np

from fmae_edge import Codec

_PROGRAM = """
import sys
sys.modules["onnxruntime"] = None
import numpy as np
from fmae_edge import Codec, FmaeError

content = open(sys.argv[1], "rb").read()
codec = Codec()
file = codec.parse(content)
print(len(file.payloads), codec.inspect(content).images, *codec.names(content))
np.save(sys.argv[2], codec.symbols(content))
try:
    codec.decompress(content)
except FmaeError as error:
    print(error)
"""


def test_files_are_parsed_described_and_decoded_to_symbols(tmp_path, images):
    content = Codec().compress_batch(images[:3], names=["a", "b", "c"])
    (tmp_path / "stack.fmae").write_bytes(content)
    command = [sys.executable, "-c", _PROGRAM, "stack.fmae", "symbols.npy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    described, refused = done.stdout.splitlines()
    assert described == "3 3 a b c"
    assert refused.startswith("onnxruntime is not installed: pip install onnxruntime, or see docs/platforms.md")
    np.testing.assert_array_equal(np.load(tmp_path / "symbols.npy"), Codec().symbols(content))
