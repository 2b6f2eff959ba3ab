# Two images from one file, both from scratch, static and without root:
#
#   docker build --target lb  -t lb .
#   docker build --target app -t lb-clock .
#
# Arguments: GO_IMAGE, the image with the Go toolchain; VERSION, what
# `lb version` says; GOPROXY, where modules come from. Behind a proxy that only
# the host reaches, add --network host.
ARG GO_IMAGE=golang:1.26
FROM ${GO_IMAGE} AS build
ARG GOPROXY=https://proxy.golang.org,direct
ENV CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOPROXY=${GOPROXY}
WORKDIR /src
# Modules first: this layer stays cached until go.mod or go.sum change.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/ ./cmd/lb ./cmd/clock \
 && mkdir -p /out/var/lib/lb /out/run/lb

FROM scratch AS app
COPY --from=build /out/clock /clock
USER 65532:65532
EXPOSE 5000
ENTRYPOINT ["/clock"]

FROM scratch AS lb
# Roots of trust, for backends that speak TLS.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/lb /lb
COPY --from=build --chown=65532:65532 /out/var/lib/lb /var/lib/lb
COPY --from=build --chown=65532:65532 /out/run/lb /run/lb
COPY clock/images /var/www/clock/images
COPY configs/compose.hcl /etc/lb/lb.hcl
USER 65532:65532
EXPOSE 8080 9900
ENTRYPOINT ["/lb"]
CMD ["-config", "/etc/lb/lb.hcl"]
