"""The tables of Egnyte's page on authentication. Each row is a test.

The descriptions in the quoted tables are shortened.
"""
