# docker build --build-arg BACKEND=s3 -t fileloft:s3 .
# BACKEND is what the image stores on, fs, s3, gcs or azure; only what that one needs is inside, and the optional packages
# that EXTRA names, such as "@opentelemetry/api @opentelemetry/sdk-node" for traces.
ARG BACKEND=fs

# The same for all backends: what runs it, and it compiled.
FROM docker.io/library/node:24-trixie-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends binutils tini \
 && rm -rf /var/lib/apt/lists/*
# Node's own tables of symbols are a seventh of it, and serve debuggers. Debian's slim image may lack a library of it.
RUN mkdir -p /runtime/usr/local/bin /runtime/usr/local/lib \
 && strip -o /runtime/usr/local/bin/node /usr/local/bin/node \
 && cp /usr/bin/tini-static /runtime/usr/local/bin/tini \
 && ldd /usr/local/bin/node | awk '/libatomic/ { print $3 }' | xargs -r -I{} cp -L {} /runtime/usr/local/lib/ \
 && ln -s /opt/fileloft/dist/node/cli.js /runtime/usr/local/bin/fileloft \
 && ln -s fileloft /runtime/usr/local/bin/fileloft-server
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
COPY docker/dependencies.ts docker/
COPY src/node/packages.ts src/node/
RUN cp package.json package.full.json \
 && node docker/dependencies.ts compile \
 && npm install --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN node_modules/.bin/tsc -p tsconfig.build.json --declaration false --declarationMap false --sourceMap false \
 && chmod 755 dist/node/cli.js

# What the backend needs, without what only compilers and debuggers read.
FROM build AS modules
ARG BACKEND
ARG EXTRA=
RUN cp package.full.json package.json \
 && node docker/dependencies.ts "$BACKEND" $EXTRA \
 && npm prune --ignore-scripts \
 && rm node_modules/.package-lock.json \
 && find node_modules -type f '(' -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' ')' -delete \
 && find node_modules -type d -empty -delete

FROM docker.io/library/debian:trixie-slim AS runtime
COPY --from=build /runtime /
RUN ldconfig \
 && groupadd --gid 1000 fileloft \
 && useradd --uid 1000 --gid 1000 --home-dir /var/lib/fileloft --no-create-home --shell /usr/sbin/nologin fileloft \
 && install -d -o fileloft -g fileloft /var/lib/fileloft
ENV NODE_ENV=production \
    FILELOFT_BIND=0.0.0.0:8080 \
    FILELOFT_DATA_DIR=/var/lib/fileloft \
    FILELOFT_BASE_PATH=/files/
EXPOSE 8080
VOLUME /var/lib/fileloft
# By number, so that Kubernetes can tell that it is not root.
USER 1000:1000
WORKDIR /var/lib/fileloft
# tini takes the place of process 1: it passes signals on and reaps what hooks leave behind.
ENTRYPOINT ["tini", "-s", "--", "fileloft"]
HEALTHCHECK --interval=30s --timeout=6s --start-period=10s --retries=3 CMD ["fileloft", "health"]

# Naming the backend keeps an image without its bucket from storing inside of itself. The one for the disk leaves it
# open: with a bucket's name it stops and says what is missing.
FROM runtime AS runtime-fs
FROM runtime AS runtime-s3
ENV FILELOFT_BACKEND=s3
FROM runtime AS runtime-gcs
ENV FILELOFT_BACKEND=gcs
FROM runtime AS runtime-azure
ENV FILELOFT_BACKEND=azure

FROM runtime-${BACKEND}
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="fileloft" \
      org.opencontainers.image.description="A tus server: resumable uploads of any size" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="docker.io/library/debian:trixie-slim"
COPY LICENSE /opt/fileloft/
COPY --from=modules /build/package.json /opt/fileloft/
COPY --from=modules /build/node_modules /opt/fileloft/node_modules
COPY --from=build /build/dist /opt/fileloft/dist
