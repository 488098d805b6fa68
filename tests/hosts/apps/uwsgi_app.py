"""An app for uWSGI. The environment says whether the pool is used before uWSGI forks."""

import os

import uwsgi
from backend import BackendPool, make_application, use

pool = BackendPool(4, min_size=0, timeout=20)
if "USE_AT_IMPORT" in os.environ:
    use(pool)

application = make_application(pool)


def close_pool():
    print(f"pool of {os.getpid()} closed: {pool.close(timeout=5)}", flush=True)


uwsgi.atexit = close_pool
