"""Every state change, one function each, called alike by views, tasks, admin and commands.

==============  =================================================================
``ledger``      what may be asked of the token endpoint, charged before it is asked
``obtain``      a token call whose answer is stored before anything else
``grants``      how a token arrives, the lease, and which token is the newest
``link``        connect and relink
``refresh``     one refresh at a time for each grant
``validate``    suspicion, the question whether Egnyte accepts a token, the verdict
``disconnect``  deletion in all its forms
``reassign``    giving an account to another user
``revoke``      ending grants at Egnyte that no account points into
``sweep``       what is due, in slices
``events``      Egnyte's events: stored, and handled by the site's receivers
``polls``       which accounts' events are polled, and the polling
``webhooks``    which account a webhook belongs to, and its registration
==============  =================================================================
"""
