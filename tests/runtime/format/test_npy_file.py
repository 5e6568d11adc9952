"""Latents in .npy files: the bytes are those of NumPy, and all other content is refused."""

import io
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmae_edge import Codec, InputError
from fmae_edge.runtime.format.npy_file import dump_latents, file_bytes, load_latents


def saved(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


GOOD = saved(np.arange(64, dtype=np.float32))


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", ">f4"])
@pytest.mark.parametrize("shape", [(64,), (1, 64), (5, 64), (0, 64)])
def test_round_trip_and_numpy_agree(dtype, shape):
    latents = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    content = dump_latents(latents)
    np.testing.assert_array_equal(np.load(io.BytesIO(content)), latents)
    np.testing.assert_array_equal(load_latents(content, 64, "it"), latents)
    np.testing.assert_array_equal(load_latents(saved(np.asfortranarray(latents)), 64, "it"), latents)


def test_the_bytes_of_a_file_never_change():
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '|i1', 'fortran_order': False, 'shape': (64,), }"
    expected = header + b" " * (127 - len(header)) + b"\n" + bytes(range(64))
    assert dump_latents(np.arange(64, dtype=np.int8)) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a .npy file"),
        (b"hello, this is a text file", "not a .npy file"),
        (GOOD[:6], "not a .npy file"),
        (GOOD[:40], "not a .npy file"),
        (GOOD[:-1], "it has 255 bytes of data and needs 256"),
        (GOOD + b"\0", "it has 257 bytes of data and needs 256"),
        (saved(np.zeros(63, np.float32)), r"\(63,\)"),
        (saved(np.zeros((64, 64, 1), np.float32)), r"\(64, 64, 1\)"),
        (saved(np.float32(1)), r"\(\)"),
        (saved(np.zeros(64)), "float64"),
        (saved(np.zeros(64, np.int32)), "int32"),
        (saved(np.zeros(64, "U3")), "<U3"),
        (saved(np.full(64, np.nan, np.float32)), "NaN"),
        (saved(np.full(64, np.inf, np.float16)), "infinity"),
        (GOOD.replace(b"(64,), }  ", b"(-64,), } "), "it: "),
        (saved(np.zeros(2**10, np.dtype([("a", "f4")]))), "it: "),
    ],
)
def test_files_that_are_not_latents_are_refused(content, message):
    with pytest.raises(InputError, match=message):
        load_latents(content, 64, "it")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -64), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 64), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 10000000000000000000000), }",
        "{'descr': '|V0', 'fortran_order': False, 'shape': (64,), }",
        "{'descr': '|S0', 'fortran_order': False, 'shape': (64,), }",
        "{'descr': ('<f4', (64,)), 'fortran_order': False, 'shape': (64,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (64,), }" + " " * 20_000,
    ],
)
def test_invalid_headers_are_refused(header):
    text = header.encode() + b"\n"
    for data in (b"", bytes(256)):
        with pytest.raises(InputError, match="^it: [^\n]*$"):
            load_latents(b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text + data, 64, "it")


def with_header(text, version=b"\1\0", data=bytes(256)):
    return b"\x93NUMPY" + version + len(text).to_bytes(2 if version[0] == 1 else 4, "little") + text + data


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (64,), }\n",
        b"{'descr':'<f4','fortran_order':False,'shape':(64,)}",
        b'{"shape": (1, 64), "fortran_order": True, "descr": "<f4"}   \n',
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (64L,)}",  # from Python 2
        b"{ 'descr' : '<f4' , 'fortran_order' : False , 'shape' : ( 64 , ) , }",
    ],
)
@pytest.mark.parametrize("version", [b"\1\0", b"\2\0", b"\3\0"])
def test_headers_of_other_programs_are_read(header, version):
    assert load_latents(with_header(header, version), 64, "it").size == 64


@pytest.mark.parametrize("version", [b"\0\0", b"\1\1", b"\3\1", b"\4\0", b"\x09\x09"])
def test_other_versions_are_refused(version):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (64,)}"
    with pytest.raises(
        InputError, match=f"^it: has version {version[0]}.{version[1]} of the .npy format; expected"
    ):
        load_latents(with_header(header, version), 64, "it")


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (0x1for x in 64,)}",
        b"{'descr': '\\d<f4', 'fortran_order': False, 'shape': (64,)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (64if 1else 3,)}",
        b"{'descr': 'a4', 'fortran_order': False, 'shape': (64,)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (64,), 'descr': '<f4', 'other': True}",
        b"{'descr': '<f4', 'fortran_order': '<f4', 'shape': (64,)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': '<f4'}",
        b"{'descr': '<f4' 'fortran_order': False, 'shape': (64,)}",
        b"{'descr': '<f4', 'fortran_order': False}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"9" * 5000 + b",)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"9," * 2000 + b")}",
        b"{'descr': '<U999999999', 'fortran_order': False, 'shape': (64,)}",
        b"   ",
    ],
)
def test_an_odd_header_causes_no_warning_of_python(header):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(InputError, match="^it: not a .npy file of latents: its header is missing or damaged$"):
            load_latents(with_header(header), 64, "it")
    assert said == []


@pytest.mark.parametrize("dtype", ["f4", "f2", "i1"])
def test_files_of_either_byte_order_are_the_same(dtype):
    latents = np.arange(128).reshape(2, 64)
    big, little = (dump_latents(latents.astype(order + dtype)) for order in "><")
    assert big == little
    np.testing.assert_array_equal(load_latents(big, 64, "it"), latents)


@pytest.mark.parametrize("length", range(1, 6))
def test_the_size_of_a_file_is_known_from_its_start(length):
    content = dump_latents(np.zeros((length, 64), np.float16))
    assert file_bytes(content[:128], "it") == len(content)


def test_a_huge_shape_is_not_allocated():
    content = GOOD.replace(b"'shape': (64,), }" + b" " * 20, b"'shape': (1000000000000000, 64), }   ")
    assert len(content) == len(GOOD)
    with pytest.raises(InputError, match="needs 256000000000000000"):
        load_latents(content, 64, "it")


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize("content", [saved(np.array([Bomb()] * 64), allow_pickle=True), pickle.dumps(Bomb())])
def test_a_pickle_is_never_loaded(content):
    with pytest.raises(InputError, match="pickled|not a .npy"):
        load_latents(content, 64, "it")


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_any_changed_byte_is_read_as_latents_or_refused(at, change):
    content = bytearray(GOOD)
    content[at] ^= change
    try:
        latents = load_latents(bytes(content), 64, "it")
    except InputError as error:
        assert str(error).startswith("it: ")
    else:
        assert latents.shape[-1] == 64
        assert np.isfinite(latents).all()


def test_the_hint_about_symbols_is_not_in_messages_about_files():
    symbols = np.zeros(64, np.int64)
    with pytest.raises(InputError, match="int8 symbols; for symbols of a .fmae file, give quality too$"):
        Codec().decode(symbols)
    with pytest.raises(InputError, match="^it: latents have dtype int64; expected .* int8 symbols$"):
        load_latents(saved(symbols), 64, "it")
