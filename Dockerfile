# The monitor alone: no compiler, no shell script, no secret. compose.yaml runs it beside Prometheus, Alertmanager and Grafana.
# Kernels are compiled into /var/cache/marginwatch at the first start (docs/decisions/0014-container.md).
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /build
COPY requirements/build.txt requirements/run.txt requirements/
# what builds the wheel stays in an environment of its own
RUN python -m venv --without-pip /opt/marginwatch \
    && python -m venv --without-pip /opt/build \
    && python -m pip --python /opt/build/bin/python install --require-hashes --only-binary :all: -r requirements/build.txt \
    && python -m pip --python /opt/marginwatch/bin/python install --require-hashes --only-binary :all: -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY kernels kernels
COPY connectors connectors
COPY monitor monitor
RUN python -m pip --python /opt/build/bin/python wheel --no-deps --no-index --no-build-isolation --wheel-dir dist . \
    && python -m pip --python /opt/marginwatch/bin/python install --no-deps --no-index dist/*.whl

FROM ${PYTHON}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="marginwatch" \
    org.opencontainers.image.description="Live margin monitor for market-making accounts: read-only, pages before the venue acts" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
# volumes are born with the owner that their directory has here
RUN groupadd --gid 10001 marginwatch \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /var/lib/marginwatch --shell /usr/sbin/nologin marginwatch \
    && install --directory --owner=10001 --group=10001 --mode=0750 /var/cache/marginwatch /var/lib/marginwatch /run/marginwatch \
    && install --directory --mode=0755 /etc/marginwatch
COPY --from=builder /opt/marginwatch /opt/marginwatch
ENV PATH=/opt/marginwatch/bin:$PATH \
    MARGINWATCH_CACHE_DIR=/var/cache/marginwatch \
    XDG_STATE_HOME=/var/lib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# numbers, so that an orchestrator can see that it is not root
USER 10001:10001
WORKDIR /var/lib/marginwatch
VOLUME ["/var/cache/marginwatch", "/var/lib/marginwatch"]
EXPOSE 9876
STOPSIGNAL SIGTERM
# needs no token; a configuration with another port needs another check
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=4 \
    CMD ["python", "-I", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9876/-/healthy', timeout=4)"]
ENTRYPOINT ["marginwatch"]
CMD ["run", "--config", "/etc/marginwatch/desk.toml"]
