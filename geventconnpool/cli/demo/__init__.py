"""The demo: a pool under load, on real sockets, while everything goes wrong around it.

``run`` puts the parts together; ``supervisor`` keeps the ``server`` process alive,
``pool`` is what a user would write, ``clients`` use it, ``faults`` disturb them all,
``screen`` shows it, and ``summary`` judges.
"""
