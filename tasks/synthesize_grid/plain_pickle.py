"""Decodes a pickle that holds nothing but dicts, lists, texts, numbers and numpy arrays of them; anything else is refused, not run.

A pickle is a program: it may call what it names. Here it can name a few of numpy's words only, and each stands for a class of this module
that checks what it is given; no code of numpy or of anybody else is called on the file's behalf.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from core.errors import InvalidValueError

PLAIN = "biufUS"
"""Kinds of numpy types that hold no objects: booleans, integers, floats, texts, bytes."""


class _Type:
    """Stands for ``numpy.dtype``."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        if not isinstance(code, str):
            raise _refused(f"a numpy type {type(code).__name__}")
        self.is_object = code.startswith("O")
        self.kind = np.dtype(np.int8 if self.is_object else code)
        if self.kind.kind not in PLAIN or self.kind.fields is not None or self.kind.subdtype is not None:
            raise _refused(f"the numpy type {code!r}")

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise _refused("a numpy type with an unknown state")
        if order in ("<", ">"):
            self.kind = self.kind.newbyteorder(order)


class _Array:
    """Stands for an array that ``numpy._reconstruct`` begins and a state completes."""

    value: Any = None

    def __setstate__(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], _Type) and isinstance(state[1], tuple)):
            raise _refused("an array with an unknown state")
        _, shape, kind, fortran, content = state
        if kind.is_object:
            if not isinstance(content, list):
                raise _refused("an array of objects that is no list")
            self.value = content[0] if shape == () and len(content) == 1 else content
        elif isinstance(content, bytes):
            self.value = np.frombuffer(content, kind.kind).reshape(shape, order="F" if fortran else "C")
        else:
            raise _refused("an array without bytes")


class _Marker:
    """Stands for ``numpy.ndarray``, which is named and never called."""

    def __init__(self) -> None:
        raise _refused("a call of numpy.ndarray")


def _begin(kind: Any, shape: Any, code: Any) -> _Array:
    """Stand for ``_reconstruct``."""
    if kind is not _Marker:
        raise _refused("an array of an unknown class")
    return _Array()


def _scalar(kind: Any, content: Any) -> Any:
    """Stand for ``scalar``: one number or text of a plain type."""
    if not isinstance(kind, _Type) or kind.is_object or not isinstance(content, bytes):
        raise _refused("a number of an unknown type")
    return np.frombuffer(content, kind.kind)[0].item()


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any) -> Any:
    """Stand for ``_frombuffer``, which pickles of protocol 5 name."""
    if not isinstance(kind, _Type) or kind.is_object or not isinstance(content, (bytes, bytearray)) or order not in ("C", "F"):
        raise _refused("an array of an unknown type")
    return np.frombuffer(bytes(content), kind.kind).reshape(shape, order=order)


KNOWN = {
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _Marker,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _begin for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}
"""All that a pickle may name; ``numpy.core`` is what numpy 1 calls ``numpy._core``."""


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            raise _refused(f"{module}.{name}")
        return KNOWN[module, name]


def _refused(what: str) -> InvalidValueError:
    hint = "the file names code that plain metadata does not need; do not trust it"
    return InvalidValueError(
        "refused", where="pickled metadata", allowed="dicts, lists, texts, numbers and arrays", received=what, hint=hint
    )


def load(data: bytes) -> Any:
    """Return what a pickle holds, arrays as numpy arrays and arrays of objects as lists.

    Raises:
        InvalidValueError: the pickle names anything else, or is damaged.
    """
    try:
        return _plain(_Restricted(io.BytesIO(data)).load())
    except InvalidValueError:
        raise
    except Exception as error:
        raise InvalidValueError(
            "damaged", where="pickled metadata", allowed="a pickle", received=f"{type(error).__name__}: {error}"
        ) from error


def _plain(value: Any) -> Any:
    """Replace the stand-ins by what they hold."""
    if isinstance(value, _Array):
        return _plain(value.value)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (str, int, float, bool, np.ndarray, type(None))):
        return value
    raise _refused(type(value).__name__)
