"""A worker whose tasks share a pool; whoever only sends tasks opens nothing."""

import os

from backend import BackendPool
from celery import Celery
from celery.signals import worker_init, worker_shutdown

URL = os.environ["BROKER_URL"]

app = Celery("celery_app", broker=URL, backend=URL)
app.conf.broker_connection_retry_on_startup = True

pool = BackendPool(10, timeout=20, start=False)


@worker_init.connect
def open_pool(**kwargs):
    pool.open()
    pool.wait_ready(timeout=10)


@worker_shutdown.connect
def close_pool(**kwargs):
    print(f"pool closed: {pool.close(timeout=5)}")


@app.task
def ask(question):
    with pool.get() as session:
        return session.ask(question)


@app.task
def ask_impatiently():
    with pool.get(timeout=0) as session:
        return session.ask("impatient")
