# chartq in a container: `docker build -t chartq .`, then `docker run chartq worker`, `submit`, `status`...
# Works with the classic builder and with BuildKit. docs/containers.md tells how it is used.

ARG PYTHON=python:3.13-slim

# Stage 1: a virtual environment with everything in it, from files whose hashes are known --------------------
FROM ${PYTHON} AS build

# One moment for all files, fixed hashes, .pyc files that don't depend on times: same input, same files, byte for byte.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 SOURCE_DATE_EPOCH=1704067200

# Without pip inside: the base image's pip installs into both.
RUN python -m venv --without-pip /opt/chartq && python -m venv --without-pip /build

WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN pip --python /opt/chartq/bin/python install -q --no-compile --require-hashes --only-binary :all: -r requirements.lock \
 && pip --python /build/bin/python install -q --require-hashes --only-binary :all: -r requirements-build.lock

COPY pyproject.toml README.md LICENSE ./
COPY jobs jobs
COPY worker worker
RUN /build/bin/hatchling build -t wheel -d /dist \
 && pip --python /opt/chartq/bin/python install -q --no-compile --no-deps --no-index /dist/*.whl \
 && pip --python /opt/chartq/bin/python check \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/chartq/lib \
 && find /opt -exec touch --no-dereference --date=@${SOURCE_DATE_EPOCH} {} +

# Stage 2: Python and that environment, nothing else --------------------------------------------------------
FROM ${PYTHON}

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="chartq" \
      org.opencontainers.image.description="Ask a Hugging Face vision model about every chart in a folder, exactly once" \
      org.opencontainers.image.source="https://github.com/chartq/chartq" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# A user by number, so that Kubernetes' runAsNonRoot can tell. /data is for those who run without Redis.
RUN echo 'chartq:x:10001:10001:chartq:/data:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'chartq:x:10001:' >> /etc/group \
 && mkdir /charts \
 && install -d -o 10001 -g 10001 -m 0700 /data

COPY --from=build /opt /opt

ENV PATH=/opt/chartq/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CHARTQ_HOME=/data \
    CHART_ROOT=/charts

USER 10001:10001
WORKDIR /data
HEALTHCHECK --interval=30s --timeout=15s --start-period=30s --retries=3 CMD ["chartq", "health"]
ENTRYPOINT ["chartq"]
CMD ["worker"]
