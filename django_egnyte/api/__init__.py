"""Egnyte's API for the holder of a token. Pure: no Django, no database, no settings."""

from django_egnyte.api.client import EgnyteClient
from django_egnyte.api.connection import Connection, Credentials, Source
from django_egnyte.api.downloads import AsyncDownload, Download
from django_egnyte.api.entries import Entry, File, Folder, FolderListing
from django_egnyte.api.files import Files
from django_egnyte.api.rate import Rate
from django_egnyte.api.uploads import UploadState

__all__ = [
    "AsyncDownload",
    "Connection",
    "Credentials",
    "Download",
    "EgnyteClient",
    "Entry",
    "File",
    "Files",
    "Folder",
    "FolderListing",
    "Rate",
    "Source",
    "UploadState",
]
