"""The settings of the project: no more than one page over TLS needs."""

import os

# Of this installation, not of the repository: export DJANGO_SECRET_KEY.
SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "localhost").split(",")
ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware"]

# gunicorn ends TLS itself, so that requests are secure without the header of a proxy.
SECURE_HSTS_SECONDS = 3600
SECURE_SSL_REDIRECT = True
