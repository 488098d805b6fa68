"""An app for gunicorn. The environment says what happens before gunicorn forks, if it preloads."""

import os

if "PATCH_AT_IMPORT" in os.environ:
    from gevent import monkey

    monkey.patch_all()

from backend import BackendPool, make_application, use

pool = BackendPool(4, timeout=20, start=False)
if "USE_AT_IMPORT" in os.environ:
    use(pool)

application = make_application(pool)
