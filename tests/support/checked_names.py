"""Whether OpenSSL tells which name a connection checks.

Where it does not, before 3.0, sessions of connections that verify the peer but do not check its name are not kept, and
those whose name was checked may be offered by a connection that does not check it.
"""

import ssl

import pytest

TELLS_NAME = ssl.OPENSSL_VERSION_INFO >= (3,)
tells_name = pytest.mark.skipif(not TELLS_NAME, reason="OpenSSL tells from 3.0 on whether a name is checked")
