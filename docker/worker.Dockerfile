# A worker: this repository with the orchestrator's environment and those of one group, built from the same hash-pinned locks as on a
# host. docker-compose.yml builds it once per group; by hand, from the repository root:
#
#   docker build --file docker/worker.Dockerfile --build-arg ENVIRONMENTS="augment clap data diffusion presets rooms train" .
FROM python:3.11-slim-bookworm

ARG UV_VERSION=0.13.8
# Volumes take the owner of the folder they are mounted on first, so both exist before. Leases are shared by all users of a host.
RUN pip install --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}" \
 && groupadd --gid 1000 synthloom \
 && useradd --uid 1000 --gid synthloom --create-home synthloom \
 && install --directory --owner=synthloom --group=synthloom /synthloom /data \
 && install --directory --owner=synthloom --group=synthloom --mode=1777 /leases

USER synthloom
WORKDIR /synthloom
ENV PYTHONNOUSERSITE=1 PYTHONUNBUFFERED=1 UV_PYTHON_DOWNLOADS=never UV_NO_CONFIG=1

# Only what core.environments imports, so that a change elsewhere in core/ does not build the environments anew.
COPY --chown=synthloom:synthloom core/__init__.py core/atomic.py core/contract.py core/environments.py core/errors.py core/keys.py core/
COPY --chown=synthloom:synthloom envs/ envs/

# One instruction for all environments: uv hard-links equal files (torch, three times) out of its cache, and links live within a layer.
ARG ENVIRONMENTS=""
RUN UV_CACHE_DIR=/synthloom/.uv-cache UV_LINK_MODE=hardlink python -m core.environments orchestrator ${ENVIRONMENTS} \
 && rm -rf /synthloom/.uv-cache

COPY --chown=synthloom:synthloom . .

ENV PATH=/synthloom/envs/orchestrator/.venv/bin:$PATH \
    PYTHONPATH=/synthloom SYNTHLOOM_HOME=/synthloom SYNTHLOOM_DATA=/data SYNTHLOOM_LEASES=/leases
CMD ["python", "-m", "prefect", "worker", "start", "--pool", "synthloom", "--type", "process"]
