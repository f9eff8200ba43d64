# docker build --build-arg BACKEND=fs -t fileloft:latest -t fileloft:fs .
# BACKEND names what the image stores on; fs, the local disk, is the one there is.
ARG BACKEND=fs

FROM docker.io/library/node:24-trixie-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM docker.io/library/node:24-trixie-slim
ARG BACKEND
RUN case "$BACKEND" in fs) ;; *) echo "BACKEND must be fs, not $BACKEND" >&2; exit 1 ;; esac
WORKDIR /opt/fileloft
COPY --from=build /build/package.json /build/LICENSE ./
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
RUN mkdir -p /var/lib/fileloft && chown node:node /var/lib/fileloft
ENV NODE_ENV=production \
    FILELOFT_BIND=0.0.0.0:8080 \
    FILELOFT_DATA_DIR=/var/lib/fileloft \
    FILELOFT_BASE_PATH=/files/
USER node
VOLUME /var/lib/fileloft
EXPOSE 8080
ENTRYPOINT ["node", "/opt/fileloft/dist/node/cli.js"]
