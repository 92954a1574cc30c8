# What a Python server of docker-compose.yml runs in: the interpreter, and the one package that it needs.
FROM docker.io/library/python:3.11.12-slim-bookworm
# A package with its version, as in `name==1.2`.
ARG PACKAGE
# The version is in the argument.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore "$PACKAGE"
