"""The one page: the process that answers, and whether Django knows that the connection is encrypted."""

import os

from django.http import HttpRequest, HttpResponse
from django.urls import path


def answer(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"process {os.getpid()}\nsecure {request.is_secure()}\n", content_type="text/plain")


urlpatterns = [path("", answer)]
