"""Decisions: who gets which connection, what is opened, pinged and closed.

Nothing in this folder knows gevent, does I/O, reads a clock, logs or calls foreign code,
so nothing here can switch greenlets: whenever anything else runs, the books are right.
"""
