# The images of SageAPI, built with Docker; `make images` builds the same ones without it.
#
#   docker build --target sageapi-server   -t sageapi.io/sageapi-server:0.1.0 .
#   docker build --target sageapi-operator -t sageapi.io/sageapi-operator:0.1.0 .
#
# An image contains a binary, the shared libraries that it needs and a CA bundle: no shell, no package manager.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --release -p sageapi-server -p sageapi-operator \
    && install -D -t /out target/release/sageapi-server target/release/sageapi-operator
RUN set -eu; \
    libc=$(ldd /out/sageapi-server | sed -n 's/.* => \(.*libc\.so\.6\) .*/\1/p'); \
    for binary in sageapi-server sageapi-operator; do \
      root=/image/$binary; \
      install -d -m 0755 "$root/etc/ssl/certs" "$root/usr/local/bin"; \
      install -d -m 1777 "$root/tmp"; \
      cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"; \
      printf 'root:x:0:0::/:/\nsageapi:x:65532:65532::/tmp:/\n' >"$root/etc/passwd"; \
      printf 'root:x:0:\nsageapi:x:65532:\n' >"$root/etc/group"; \
      { ldd "/out/$binary" | sed -n 's/^[^/]*\(\/[^ ]*\) (.*/\1/p'; \
        ls "${libc%/*}/libnss_dns.so.2" "${libc%/*}/libnss_files.so.2" 2>/dev/null || true; } \
      | sort -u | while read -r library; do \
          install -D -m 0755 "$(readlink -f "$library")" "$root$library"; \
        done; \
      install -m 0755 "/out/$binary" "$root/usr/local/bin/"; \
    done

FROM scratch AS base
ENV PATH=/usr/local/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
WORKDIR /tmp
# Numeric, so that Kubernetes can verify that it is not root.
USER 65532:65532

FROM base AS sageapi-server
COPY --from=build /image/sageapi-server/ /
ENTRYPOINT ["/usr/local/bin/sageapi-server"]

FROM base AS sageapi-operator
COPY --from=build /image/sageapi-operator/ /
ENTRYPOINT ["/usr/local/bin/sageapi-operator"]
