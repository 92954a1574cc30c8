# The container image: the static binary, the certificates of public authorities, and nothing else.
#
# Build it with `docker build .`, or with `cargo xtask image`, which also starts and measures the image; see docs/deploying.md.

# The same version as in rust-toolchain.toml.
FROM docker.io/library/rust:1.95.0-bookworm AS build
# The probes to compile in: `all`, or names such as `postgres,redis`.
ARG PROBES=all
# The commit, for the metric `health_gateway_build_info`.
ARG REVISION=unknown
WORKDIR /source
COPY . .
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# With an explicit target, the flag does not apply to build scripts.
RUN features=(); \
    if [ "$PROBES" != all ]; then features=(--no-default-features --features "probe-${PROBES//,/,probe-}"); fi; \
    target="$(uname -m)-unknown-linux-gnu"; \
    export RUSTFLAGS='-C target-feature=+crt-static' HEALTH_GATEWAY_REVISION="$REVISION"; \
    cargo build --release --locked --target "$target" --package gateway "${features[@]}"; \
    install -D --mode 755 "target/$target/release/health-gateway" /out/health-gateway; \
    install -D --mode 644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt

FROM scratch
LABEL org.opencontainers.image.title="health-gateway" \
    org.opencontainers.image.description="A deep health check as a process beside your application"
# A single COPY, so that `--build-context build=FOLDER` can replace the first stage with an existing binary.
COPY --from=build /out/ /
# A numeric user, because the image has no /etc/passwd, and Kubernetes requires one for `runAsNonRoot`.
USER 65532:65532
# With an arena for each thread, the allocator keeps the memory of the largest report several times.
ENV MALLOC_ARENA_MAX=1 \
    HEALTH_GATEWAY_LISTEN=0.0.0.0:8080 \
    HEALTH_GATEWAY_HEALTH_LISTEN=0.0.0.0:8081
EXPOSE 8080 8081
ENTRYPOINT ["/health-gateway"]
CMD ["serve"]
# Checks the gateway only: a restart would not help if a backend is down.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["/health-gateway", "healthcheck"]
