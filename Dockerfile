# syntax=docker/dockerfile:1
# Both stages are of one release: the environment that the first makes runs on the interpreter of the second.
ARG PYTHON=3.13.16-slim-trixie

FROM python:${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY . /src
RUN /src/container/build.sh /src /usr/local/lib/clusterdns \
    && /src/container/trim.sh /usr/local/lib/clusterdns

FROM python:${PYTHON}
COPY --from=build /usr/local/lib/clusterdns /usr/local/lib/clusterdns
RUN --mount=type=bind,source=container,target=/container /container/finish.sh /usr/local
# "nonroot" of the images that CoreDNS and others are built on
USER 65532:65532
WORKDIR /
EXPOSE 53/udp 53/tcp 8080/tcp 8181/tcp 9153/tcp
ENTRYPOINT ["/usr/local/bin/clusterdns"]
