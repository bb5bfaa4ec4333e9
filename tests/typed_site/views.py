"""Pages that show and change files."""

from __future__ import annotations

from typing import IO, Any, assert_type

import requests
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.http import require_POST

from django_egnyte.access import EgnyteHttpRequest, LinkedClient, RequestClient, connect_url
from django_egnyte.api import Download, Entry, File, Files, Folder, FolderListing, Rate
from django_egnyte.decorators import egnyte_required
from django_egnyte.exceptions import APIError, InvalidPathError, NotFoundError
from django_egnyte.models import EgnyteAccount


def home(request: EgnyteHttpRequest) -> JsonResponse:
    assert_type(request.egnyte, RequestClient)
    if not request.egnyte:
        return JsonResponse({"connect": connect_url(next_path=request.path, domain="acme")})
    account = request.egnyte.account
    assert_type(account, EgnyteAccount | None)
    return JsonResponse({"linked": str(account)})


@login_required
@egnyte_required
def folder(request: EgnyteHttpRequest) -> JsonResponse:
    try:
        listing = request.egnyte.files.list(request.GET.get("path", "/Shared"), page_size=50)
    except (InvalidPathError, NotFoundError) as error:
        raise Http404 from error
    assert_type(listing, FolderListing)
    assert_type(listing.folders, list[Folder])
    assert_type(listing.files, list[File])
    return JsonResponse(
        {
            "name": listing.name,
            "path": listing.path,
            "total": listing.total_count,
            "folders": [folder_row(each) for each in listing.folders],
            "files": [file_row(each) for each in listing.files],
            "rate": rate_row(request.egnyte.rate),
        }
    )


def entry_row(entry: Entry) -> dict[str, object]:
    return folder_row(entry) if isinstance(entry, Folder) else file_row(entry)


def folder_row(folder: Folder) -> dict[str, object]:
    return {
        "name": folder.name,
        "path": folder.path,
        "id": folder.folder_id,
        "modified": folder.last_modified,
        "folder": folder.is_folder,
    }


def file_row(file: File) -> dict[str, object]:
    assert_type(file.size, int | None)
    return {
        "name": file.name,
        "path": file.path,
        "kilobytes": (file.size or 0) // 1024,
        "checksum": file.checksum,
        "version": file.entry_id,
        "group": file.group_id,
        "modified": file.last_modified and file.last_modified.isoformat(),
        "by": file.uploaded_by,
        "versions": file.num_versions,
        "folder": file.is_folder,
    }


def rate_row(rate: Rate | None) -> dict[str, object]:
    if rate is None:
        return {}
    return {
        "second": (rate.qps_current, rate.qps_allotted),
        "day": (rate.quota_current, rate.quota_allotted),
        "reset": rate.quota_reset,
    }


@egnyte_required
def download(request: EgnyteHttpRequest, path: str) -> StreamingHttpResponse:
    download = request.egnyte.files.open(f"/{path}", entry_id=request.GET.get("version"))
    assert_type(download, Download)
    assert_type(download.file, File)
    return StreamingHttpResponse(download, content_type=download.content_type)


@method_decorator(egnyte_required, name="dispatch")
class FileView(View):
    """One file: show it, or replace its content."""

    def get(self, request: EgnyteHttpRequest, path: str) -> JsonResponse:
        entry = request.egnyte.files.info(f"/{path}")
        assert_type(entry, File | Folder)
        return JsonResponse(entry_row(entry))

    def post(self, request: EgnyteHttpRequest, path: str) -> JsonResponse:
        file = request.egnyte.files.upload(f"/{path}", request.body)
        assert_type(file, File)
        return JsonResponse(file_row(file), status=201)


@require_POST
@egnyte_required
def archive(request: EgnyteHttpRequest) -> HttpResponse:
    put_away(request.egnyte.files, request.POST["path"])
    return redirect("folder")


def read_twice(files: Files, path: str, target: IO[bytes]) -> File:
    """Read the content if it is short, and write it to a file."""
    with files.open(path) as download:
        assert_type(download.read1(1), bytes)
        assert_type(download.read_all(max_bytes=1024), bytes)
    download = files.open(path)
    try:
        file = download.write_to(target)
    finally:
        download.close()
    assert_type(file, File)
    return file


def put_away(files: Files, path: str) -> None:
    """Make a copy beside the file, and move the file into the archive."""
    assert_type(files.create_folder("/Shared/Archive"), Folder)
    name = path.rpartition("/")[2]
    files.copy(path, f"{path}.copy")
    files.move(path, f"/Shared/Archive/{name}")
    files.delete(f"{path}.copy")


@egnyte_required(scopes=["Egnyte.filesystem"])
def links(request: EgnyteHttpRequest) -> JsonResponse:
    """Calls for which the package has no method."""
    client = request.egnyte
    client.post("/pubapi/v1/links", json={"path": "/Shared/plan.txt", "type": "file"})
    client.put("/pubapi/v1/links/1", json={})
    client.patch("/pubapi/v1/links/1", json={})
    client.delete("/pubapi/v1/links/1")
    client.request("OPTIONS", "/pubapi/v1/links", timeout=(3.05, 10))
    answer = client.get("/pubapi/v1/links", params={"count": 10}, max_bytes=100_000)
    assert_type(answer, requests.Response)
    return JsonResponse({"status": answer.status_code})


@egnyte_required
def colleague(request: EgnyteHttpRequest, username: str) -> JsonResponse:
    boss = request.egnyte.act_as(username=username)
    assert_type(boss, RequestClient)
    try:
        found = boss.userinfo()
    except APIError as error:
        return JsonResponse({"code": error.code}, status=error.status)
    assert_type(found, dict[str, Any])
    return JsonResponse(found)


@login_required
def other_account(request: EgnyteHttpRequest, pk: int) -> JsonResponse:
    account = get_object_or_404(EgnyteAccount.objects.for_user(request.user).live(), pk=pk)
    assert_type(account, EgnyteAccount)
    client = request.egnyte.for_account(account)
    assert_type(client, LinkedClient)
    assert_type(client.files, Files)
    return JsonResponse(client.userinfo())
