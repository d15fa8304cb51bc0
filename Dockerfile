# Serves the networks in model/ on port 8000, as a user without rights, on a root file system that may be read-only:
#
#   docker build -t catscope .
#   docker run --rm -p 8000:8000 --read-only --tmpfs /tmp catscope
#
# The first stage installs the packages; the second is the base image, what is left of them, the service and its networks.
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
# `--build-arg REQUIREMENTS=tracing` adds OpenTelemetry's packages.
ARG REQUIREMENTS=serve
COPY requirements/${REQUIREMENTS}.txt /requirements.txt
RUN pip install --no-cache-dir --no-compile --disable-pip-version-check --root-user-action=ignore \
      --prefix=/install --require-hashes -r /requirements.txt
# 48 MB that nothing here calls: ONNX Runtime's second copy for C programs (the Python module has its own built in), its
# converters, NumPy's tests, its Fortran compiler's front end, and what is there for C programs and type checkers.
RUN cd /install/lib/python3.*/site-packages \
    && rm -r onnxruntime/capi/libonnxruntime.so* onnxruntime/datasets onnxruntime/quantization onnxruntime/tools \
         onnxruntime/transformers \
    && rm -r numpy/f2py numpy/_core/include \
    && find numpy -type d -name tests -prune -exec rm -r {} + \
    && find . -name '*.pyi' -delete -o -name '*.a' -delete
COPY LICENSE /catscope/
COPY app /catscope/app
COPY model /catscope/model
# A checkout may be readable by its owner alone; the service runs as somebody else.
RUN python -m compileall -q --invalidation-mode unchecked-hash /catscope/app && chmod -R a+rX /catscope

FROM ${PYTHON_IMAGE}
COPY --from=build /install /usr/local
# 22 MB that save two of the three seconds to start: the base image comes without compiled modules, and a user without
# rights could keep none, so that each start and each health check would compile Python's own library again.
RUN python -m compileall -q --invalidation-mode unchecked-hash \
      -x '/(pip|ensurepip|idlelib|lib2to3|pydoc_data|test|tkinter|turtledemo)/' /usr/local/lib/python3.*
COPY --from=build /catscope /catscope
WORKDIR /catscope
# ONNX Runtime's official builds report to their maker unless told not to; a service for photos tells nobody anything.
ENV CATSCOPE_HOST=0.0.0.0 \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8000
# No proxy: an engine may hand its own to every container, and the service is on this side of it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["python", "-c", "\
import os, urllib.request as u; \
u.build_opener(u.ProxyHandler({})).open('http://localhost:' + os.environ.get('CATSCOPE_PORT', '8000') + '/health/ready', timeout=2)"]
ENTRYPOINT ["python", "-m", "app"]
# Which commit it was built from, when, and where that commit is found; last, so that they cost no other layer.
ARG REVISION=""
ARG CREATED=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="Catscope" \
      org.opencontainers.image.description="Says whether there is a cat in a photo, and shows how it knows." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
