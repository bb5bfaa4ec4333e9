"""Every state change, one function each, called alike by views, tasks, admin and commands.

============  ===================================================================
``obtain``    a token call whose answer is in the outbox before anything else
``link``      connect and relink
``refresh``   one refresh at a time for each refresh token
``validate``  suspicion, the question whether a token lives, and the verdict
``disconnect`` deletion in all its forms
``revoke``    the outbox worked off at Egnyte
============  ===================================================================
"""
