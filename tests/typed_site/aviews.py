"""The same views as coroutines."""

from __future__ import annotations

import tempfile
from typing import Any, assert_type

import requests
from django.http import JsonResponse, StreamingHttpResponse

from django_egnyte.access import EgnyteHttpRequest, RequestClient
from django_egnyte.api import AsyncDownload, File, Files, Folder, FolderListing
from django_egnyte.decorators import egnyte_required


@egnyte_required
async def overview(request: EgnyteHttpRequest) -> JsonResponse:
    client = await request.aegnyte()
    assert_type(client, RequestClient)
    info = await client.auserinfo()
    assert_type(info, dict[str, Any])
    listing = await client.files.alist("/Shared")
    assert_type(listing, FolderListing)
    return JsonResponse({"user": info["username"], "names": [entry.name for entry in listing]})


@egnyte_required
async def download(request: EgnyteHttpRequest, path: str) -> StreamingHttpResponse:
    client = await request.aegnyte()
    download = await client.files.aopen(f"/{path}")
    assert_type(download, AsyncDownload)
    assert_type(download.file, File)
    assert_type(await download.read(0), bytes)
    return StreamingHttpResponse(download, content_type=download.content_type)


@egnyte_required
async def size(request: EgnyteHttpRequest) -> JsonResponse:
    client = await request.aegnyte()
    total = 0
    async for entry in client.files.awalk("/Shared", page_size=100):
        assert_type(entry, File | Folder)
        if isinstance(entry, File):
            total += entry.size or 0
    return JsonResponse({"bytes": total})


@egnyte_required
async def tidy(request: EgnyteHttpRequest) -> JsonResponse:
    client = await request.aegnyte()
    return JsonResponse({"checksum": await rewrite(client.files, "/Shared/Async/a.txt", b"hello")})


async def rewrite(files: Files, path: str, content: bytes) -> str | None:
    folder = await files.acreate_folder(path.rpartition("/")[0])
    assert_type(folder, Folder)
    stored = await files.aupload(path, content)
    assert_type(stored, File)
    await files.acopy(path, f"{path}.copy")
    await files.amove(f"{path}.copy", f"{path}.old")
    await files.adelete(f"{path}.old")
    assert_type(await files.ainfo(path), File | Folder)
    assert_type(await files.adownload(path, max_bytes=1024), bytes)
    with tempfile.TemporaryFile() as target:
        file = await files.adownload(path, target)
    assert_type(file, File)
    download = await files.aopen(path)
    assert_type(download, AsyncDownload)
    await download.aclose()
    return file.checksum


@egnyte_required
async def links(request: EgnyteHttpRequest) -> JsonResponse:
    client = await request.aegnyte()
    await client.apost("/pubapi/v1/links", json={"path": "/Shared/plan.txt"})
    await client.aput("/pubapi/v1/links/1", json={})
    await client.apatch("/pubapi/v1/links/1", json={})
    await client.adelete("/pubapi/v1/links/1")
    await client.arequest("OPTIONS", "/pubapi/v1/links")
    answer = await client.aget("/pubapi/v1/links")
    assert_type(answer, requests.Response)
    return JsonResponse({"status": answer.status_code})
