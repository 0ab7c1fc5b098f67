"""model.bin of CTranslate2: each type of values, and files that are not whole."""

import struct

import numpy as np
import pytest

from sensorium.nn.ctranslate2 import read_ctranslate2

TYPES = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4, "bfloat16": 5}


def text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def variable(name: str, values: np.ndarray, kind: str | None = None) -> bytes:
    shape = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
    header = struct.pack("<BI", TYPES[kind or str(values.dtype)], values.nbytes)
    return text(name) + shape + header + values.tobytes()


def content(variables: list[bytes], aliases: list[tuple[str, str]] = ()) -> bytes:
    header = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, len(variables))
    return header + b"".join(variables) + struct.pack("<I", len(aliases)) + b"".join(map(text, sum(aliases, ())))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.bin"


def test_each_type_of_values_becomes_float32_where_it_is_a_weight(path):
    weights = np.array([[1.0, -2.0, 0.5], [0.25, 4.0, -1.0]], np.float32)
    scale = (127 / np.abs(weights).max(axis=1)).astype(np.float32)
    eighths = np.rint(weights * scale[:, None]).astype(np.int8)
    bfloat = (weights.view(np.uint32) >> 16).astype(np.uint16)
    variables = [
        variable("full", weights), variable("half", weights.astype(np.float16)), variable("brain", bfloat, "bfloat16"),
        variable("whole", eighths), variable("whole_scale", scale), variable("short", (weights * 64).astype(np.int16)),
        variable("short_scale", np.array(64, np.float32)), variable("heads", np.array(6, np.int16)),
    ]  # fmt: skip
    path.write_bytes(content(variables, [("again", "half")]))
    arrays = read_ctranslate2(path)
    for name in ("full", "half", "brain", "short", "again"):
        assert arrays[name].dtype == np.float32
        np.testing.assert_array_equal(arrays[name], weights)
    np.testing.assert_allclose(arrays["whole"], weights, atol=0.02)
    assert arrays["heads"] == 6 and arrays["heads"].dtype == np.int16


def test_a_file_cut_anywhere_and_one_of_another_kind_are_refused(path):
    whole = content([variable("a/weight", np.ones((2, 3), np.float32))], [("b", "a/weight")])
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is no whole model of CTranslate2"):
            read_ctranslate2(path)
    path.write_bytes(b"PK\x03\x04" + whole)
    with pytest.raises(ValueError, match="version"):
        read_ctranslate2(path)


def test_sizes_that_do_not_agree_are_refused_before_anything_is_read(path):
    damaged = [
        (text("a") + struct.pack("<B2IBI", 2, 2**31, 2**31, 0, 24), "shape"),
        (text("a") + struct.pack("<BBI", 0, 9, 4), "of type 9"),
        (text("a") + struct.pack("<B", 200), "200 dimensions"),
        (struct.pack("<H", 2) + b"\xff\0", "utf-8"),
        (variable("a", np.ones(2, np.float32)) + struct.pack("<I", 1) + text("b") + text("c"), "'c'"),
    ]
    for record, reason in damaged:
        path.write_bytes(struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, 1) + record)
        with pytest.raises(ValueError, match=reason):
            read_ctranslate2(path)
    path.write_bytes(struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, 2**32 - 1))
    with pytest.raises(ValueError, match="4294967295 variables"):
        read_ctranslate2(path)
