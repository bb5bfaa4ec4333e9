"""Check that every token that Egnyte issued is in use, due for revocation, or no longer valid.

``python -m tests.conservation --minutes 1 --seed 7`` runs clients and Celery workers on PostgreSQL,
while Egnyte, the broker and the processes fail at random. Then it checks all tokens.
"""
