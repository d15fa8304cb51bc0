# Serves the networks in model/ on port 8000 as an unprivileged user; the root file system may be read-only:
#
#   docker build -t catscope .
#   docker run --rm -p 8000:8000 --read-only --tmpfs /tmp catscope
#
# The first stage installs and trims the packages; the second adds them, the service and its networks to the base image.
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
# For `strip`, which nothing of the image proper needs.
RUN apt-get update -q && apt-get install -q -y --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
# `--build-arg REQUIREMENTS=tracing` adds OpenTelemetry's packages, `postgresql` the driver of corrections that replicas share,
# `signed` what checks the signatures of networks.
ARG REQUIREMENTS=serve
COPY requirements/serve.txt requirements/${REQUIREMENTS}.txt /requirements/
RUN pip install --no-cache-dir --no-compile --disable-pip-version-check --root-user-action=ignore \
      --prefix=/install --require-hashes -r /requirements/${REQUIREMENTS}.txt
# Removes 72 MB that the service never uses: ONNX Runtime's library for C programs (the Python module has its own copy), its
# data sets and conversion tools, NumPy's and fsspec's tests, f2py, headers, static libraries, type stubs and the symbols for
# debuggers, which are most of uvloop.
RUN cd /install/lib/python3.*/site-packages \
    && rm -r onnxruntime/capi/libonnxruntime.so* onnxruntime/datasets onnxruntime/quantization onnxruntime/tools \
         onnxruntime/transformers \
    && rm -r numpy/f2py numpy/_core/include numpy/_core/_simd.*.so numpy/_core/_*_tests.*.so \
    && find numpy fsspec -type d -name tests -prune -exec rm -r {} + \
    && find . -name '*.pyi' -delete -o -name '*.a' -delete \
    && find . -name '*.so*' -type f -exec strip --strip-unneeded {} +
COPY LICENSE /catscope/
COPY app /catscope/app
COPY model /catscope/model
# Only its owner may be able to read the checkout, and the service runs as another user.
RUN python -m compileall -q --invalidation-mode unchecked-hash /catscope/app && chmod -R a+rX /catscope

FROM ${PYTHON_IMAGE}
COPY --from=build /install /usr/local
COPY --from=build /catscope /catscope
# Saves two of the three seconds of startup: the base image has no compiled modules, and an unprivileged user cannot cache any,
# so every start and every health check would compile Python's standard library again.
RUN --mount=type=bind,source=tools/compile_imported.py,target=/tmp/compile_imported.py \
    python -B /tmp/compile_imported.py /catscope
WORKDIR /catscope
# ONNX Runtime's official builds send telemetry unless it is disabled; this service must not.
ENV CATSCOPE_HOST=0.0.0.0 \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8000
# Bypasses any proxy that the container engine configures, since the service is on localhost.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["python", "-c", "\
import os, urllib.request as u; \
u.build_opener(u.ProxyHandler({})).open('http://localhost:' + os.environ.get('CATSCOPE_PORT', '8000') + '/health/ready', timeout=2)"]
ENTRYPOINT ["python", "-m", "app"]
# The release, the commit it was built from, when, and where that commit is; last, so that they invalidate no other layer.
ARG VERSION=""
ARG REVISION=""
ARG CREATED=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="Catscope" \
      org.opencontainers.image.description="Says whether there is a cat in a photo, and shows how it knows." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
