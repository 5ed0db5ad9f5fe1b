# The API (`scaivault server run`), the worker (`scaivault server worker`) and the exporter (`python -m exporter`), as an
# unprivileged user on a read-only root file system. Mount something writable on /tmp, nothing else.
# tests/deploy runs the COPY and RUN steps of the first stage outside of Docker, and then the commands of helm/scaivault.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY constraints.txt pyproject.toml setup.cfg README.md LICENSE ./
COPY scaivault ./scaivault
COPY exporter ./exporter
RUN python3 -m venv /opt/scaivault
RUN /opt/scaivault/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt .

FROM python:3.11-slim-bookworm
COPY --from=build /opt/scaivault /opt/scaivault
# LOGNAME: the migrations' log asks for a user name, and the number that an orchestrator picks has none.
ENV PATH=/opt/scaivault/bin:$PATH LOGNAME=scaivault PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8443 9464 9465 9466
CMD ["scaivault", "server", "run"]
