# The container image: the static binary, the certificates of public authorities, and nothing else.
#
# `docker build .`, or `cargo xtask image`, which also starts the image and measures it; see docs/deploying.md.

# The version is that of rust-toolchain.toml.
FROM docker.io/library/rust:1.95.0-bookworm AS build
# Which probes are compiled in: `all`, or names such as `postgres,redis`.
ARG PROBES=all
WORKDIR /source
COPY . .
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# A target of its own keeps the flag away from the programs that only run while this is built.
RUN features=(); \
    if [ "$PROBES" != all ]; then features=(--no-default-features --features "probe-${PROBES//,/,probe-}"); fi; \
    target="$(uname -m)-unknown-linux-gnu"; \
    export RUSTFLAGS='-C target-feature=+crt-static'; \
    cargo build --release --locked --target "$target" --package gateway "${features[@]}"; \
    install -D --mode 755 "target/$target/release/health-gateway" /out/health-gateway; \
    install -D --mode 644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt

FROM scratch
LABEL org.opencontainers.image.title="health-gateway" \
    org.opencontainers.image.description="A deep health check as a process beside your application"
# All from one place, so that `--build-context build=FOLDER` makes this stage of a binary that is there already.
COPY --from=build /out/ /
# A number, since there are no names here, and since Kubernetes verifies only a number with `runAsNonRoot`.
USER 65532:65532
ENV HEALTH_GATEWAY_LISTEN=0.0.0.0:8080 \
    HEALTH_GATEWAY_HEALTH_LISTEN=0.0.0.0:8081
EXPOSE 8080 8081
ENTRYPOINT ["/health-gateway"]
CMD ["serve"]
# Whether the gateway itself serves: a backend that is down is told by the report, and restarting the gateway would not bring it back.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["/health-gateway", "healthcheck"]
