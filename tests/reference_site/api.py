"""The site's API: views with the permission, with the decorator, and with neither."""

from __future__ import annotations

from typing import Any

from django.utils.decorators import method_decorator
from rest_framework.decorators import action, api_view, permission_classes
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from django_egnyte.contrib.rest_framework import IsEgnyteLinked
from django_egnyte.decorators import egnyte_required


def named(request: Any) -> Response:
    return Response({"username": request.egnyte.account.username})


class Permitted(APIView):
    permission_classes = [IsEgnyteLinked]

    def get(self, request: Any) -> Response:
        return named(request)

    post = get


class Sharing(Permitted):
    permission_classes = [IsEgnyteLinked.needing("Egnyte.link")]


class SharingByName(Permitted):
    egnyte_scopes = ["Egnyte.link"]


@method_decorator(egnyte_required, name="dispatch")
class Dispatched(APIView):
    def get(self, request: Any) -> Response:
        return named(request)


@method_decorator(egnyte_required(scopes=["Egnyte.link"]), name="dispatch")
class DispatchedSharing(Dispatched):
    pass


@egnyte_required
class Decorated(APIView):
    def get(self, request: Any) -> Response:
        return named(request)


class Handled(APIView):
    @method_decorator(egnyte_required)
    def get(self, request: Any) -> Response:
        return named(request)


class Bare(APIView):
    def get(self, request: Any) -> Response:
        return named(request)


@api_view(["GET"])
@egnyte_required
def function(request: Any) -> Response:
    return named(request)


@egnyte_required
@api_view(["GET"])
@permission_classes([AllowAny])
def outside(request: Any) -> Response:
    """Answers with the name of the user."""
    return named(request)


class Folders(ViewSet):
    def list(self, request: Any) -> Response:
        return named(request)

    @action(detail=False)
    @method_decorator(egnyte_required)
    def mine(self, request: Any) -> Response:
        return named(request)


@method_decorator(egnyte_required, name="dispatch")
class GuardedFolders(Folders):
    def get_permissions(self) -> Any:
        return super().get_permissions()


class Files(APIView):
    """Errors of Egnyte are left to the exception handler."""

    permission_classes = [IsEgnyteLinked]

    def get(self, request: Any, path: str) -> Response:
        return Response({"names": [each.name for each in request.egnyte.files.list(path)]})


class Unguarded(APIView):
    def get(self, request: Any) -> Response:
        return Response(request.egnyte.userinfo())


class Chosen(APIView):
    """The client of one of the user's accounts, chosen by primary key."""

    def get(self, request: Any, pk: int) -> Response:
        from django_egnyte.models import EgnyteAccount

        account = EgnyteAccount.objects.get(pk=pk)
        return Response(request.egnyte.for_account(account).userinfo())
