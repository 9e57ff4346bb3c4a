# syntax=docker/dockerfile:1
# The gateway as an image: the locked packages from wheels, collected static files, a user without rights, and nothing
# that is written to but /data and /tmp (docker run --read-only --tmpfs /tmp -v llmgateway:/data).
# 3.11 is the Python that the tests run on.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/llmgateway
RUN python -m venv .venv
# Of otel, saml and parquet those that are wanted: docker build --build-arg EXTRAS="otel saml" .
ARG EXTRAS="otel"
COPY requirements.lock requirements-otel.lock requirements-saml.lock requirements-parquet.lock ./
# Each package has a wheel for Linux, so no compiler is needed; a package that had none would stop the build here.
RUN for extra in $EXTRAS; do set -- "$@" --requirement "requirements-$extra.lock"; done \
 && .venv/bin/python -m pip install --no-compile --require-hashes --only-binary :all: --requirement requirements.lock "$@" \
 && .venv/bin/python -m pip uninstall --yes pip setuptools wheel
# What nothing here reads: the pages of LiteLLM's proxy, other packages' tests, sources of translations.
RUN packages=$(echo .venv/lib/python3*/site-packages) \
 && rm -r "$packages/litellm/proxy/_experimental/out" \
 && find "$packages/twisted" "$packages/autobahn" "$packages/zope" -type d \( -name test -o -name tests \) -prune -exec rm -r {} + \
 && find "$packages" -name '*.po' -delete
COPY . ./
# The data folder of the build is thrown away with the secrets that settings.py makes in it.
RUN GATEWAY_DATA_DIR=/tmp/build GATEWAY_STATIC_ROOT=/opt/llmgateway/collected \
    .venv/bin/python manage.py collectstatic --noinput --verbosity 0 \
 && rm -rf /tmp/build \
 && .venv/bin/python -m compileall -q --invalidation-mode unchecked-hash -j 0 .

FROM python:${PYTHON_VERSION}-slim-bookworm
LABEL org.opencontainers.image.title="llmgateway" \
      org.opencontainers.image.licenses="Apache-2.0"
# A number, so that Kubernetes can see that it is not root.
RUN groupadd --system --gid 10001 gateway \
 && useradd --system --uid 10001 --gid gateway --home-dir /data --no-create-home --shell /usr/sbin/nologin gateway \
 && install --directory --owner=gateway --group=gateway --mode=0700 /data
COPY --from=build /opt/llmgateway /opt/llmgateway
WORKDIR /opt/llmgateway
ENV PATH=/opt/llmgateway/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATEWAY_DATA_DIR=/data \
    GATEWAY_STATIC_ROOT=/opt/llmgateway/collected
USER 10001:10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
ENTRYPOINT ["python", "manage.py"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
