"""How the sweeps, the admin and deletions grow with the number of accounts, on PostgreSQL."""
