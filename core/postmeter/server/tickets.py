"""One set of session ticket keys for all workers, so that a client may resume its TLS session with any of them.

Python's ssl module has no function for this; OpenSSL's own is called (SSL_CTX_set_tlsext_ticket_keys). Where Python
is built in a way that hides it, each worker keeps the keys that OpenSSL has made: fewer sessions are resumed then.
"""

from __future__ import annotations

import _ssl
import ctypes
import hashlib
import ssl
from functools import cache
from typing import Any

LIFETIME = 43_200.0  # seconds until the keys change: a stolen one opens no more than this of what was recorded

_GET_KEYS, _SET_KEYS = 58, 59  # SSL_CTRL_GET_TLSEXT_TICKET_KEYS, SSL_CTRL_SET_TLSEXT_TICKET_KEYS


def epoch(seconds: float) -> int:
    """The number of the keys of this moment."""
    return int(seconds // LIFETIME)


def share(context: ssl.SSLContext, secret: bytes, number: int) -> bool:
    """Give ``context`` the keys that everybody derives from ``secret`` and the number; False when that cannot be."""
    library = _library()
    if library is None:
        return False
    address = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)  # the first member of PySSLContext
    if library.SSL_CTX_get_options(address) != int(context.options):
        return False  # Python has changed what it keeps there
    length = library.SSL_CTX_ctrl(address, _GET_KEYS, 0, None)
    keys = hashlib.shake_256(secret + number.to_bytes(8, "big")).digest(length)
    return bool(library.SSL_CTX_ctrl(address, _SET_KEYS, length, keys) == 1)


@cache
def _library() -> Any:
    """OpenSSL as Python's ssl module uses it."""
    try:
        library = ctypes.CDLL(getattr(_ssl, "__file__", None))
        library.SSL_CTX_get_options.argtypes = (ctypes.c_void_p,)
        library.SSL_CTX_get_options.restype = ctypes.c_uint64
        library.SSL_CTX_ctrl.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p)
        library.SSL_CTX_ctrl.restype = ctypes.c_long
    except (OSError, AttributeError):
        return None
    return library
