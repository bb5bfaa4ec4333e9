"""Egnyte's page on authentication, table by table: each row is a test of its own.

The tables are quoted with their descriptions shortened.
"""
