"""Does every token that Egnyte ever issued end up held, waiting to be revoked, or dead?

``python -m tests.conservation --minutes 1 --seed 7`` lets clients and Celery workers loose on
PostgreSQL while Egnyte, the broker and the processes fail at random, then looks.
"""
