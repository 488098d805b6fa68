"""Each worker opens the pool and closes it."""

import os

bind = "127.0.0.1:0"
workers = 2
worker_class = "gevent"


def post_worker_init(worker):
    from gunicorn_app import pool

    pool.open()
    pool.wait_ready(timeout=float(os.environ.get("READY_WITHIN", "10")))
    worker.log.info("pool of %d open", worker.pid)


def worker_exit(server, worker):
    from gunicorn_app import pool

    worker.log.info("pool of %d closed: %s", worker.pid, pool.close(timeout=5))
