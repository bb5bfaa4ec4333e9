"""Every state change is one function, which views, tasks, admin and commands call.

==============  =================================================================
``ledger``      the limits of token requests; each is charged before it is made
``obtain``      a token request; its answer is stored before anything else
``grants``      storing tokens, the lease, and which token is the newest
``link``        connect and relink
``refresh``     one refresh at a time for each grant
``validate``    asks Egnyte whether it accepts a token, and settles the status
``disconnect``  deletion in all its forms
``reassign``    giving an account to another user
``revoke``      revoking grants at Egnyte that no account uses
``sweep``       due refreshes and validations, in slices of time
``events``      storing Egnyte's events, and sending them to the site's receivers
``polls``       polling the events of chosen accounts
``webhooks``    the secrets and the registration of webhooks
==============  =================================================================
"""
