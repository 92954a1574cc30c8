# The image of the Python servers in docker-compose.yml: the interpreter and one package.
FROM docker.io/library/python:3.11.12-slim-bookworm
# The package with its version, such as `name==1.2`.
ARG PACKAGE
# The argument contains the version.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore "$PACKAGE"
