# The door: `make demo` and `make test` do all their own set-up on a fresh Debian machine.
# May not hold what a program can hold: the work is in `anymetal`, the suites and the lab.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test setup setup-demo setup-rust bird3 cloud-init25 init init-x86_64 init-aarch64 anymetal artefacts platform doubles bindle traefik check cargo-test bench-guard soak bench-acquire bench-bundle fuzz shipped boot goldens

TOOLCHAIN := $(shell sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
CARGO_DIR := $(if $(CARGO_HOME),$(CARGO_HOME),$(HOME)/.cargo)
# A person's PATH may not have cargo yet in the shell that just installed it.
export PATH := $(CARGO_DIR)/bin:$(PATH)
# Where the bytes were built must not be in the bytes.
REMAP := --remap-path-prefix=$(CARGO_DIR)=/cargo --remap-path-prefix=$(CURDIR)=/anymetal
# Relocations of what is shipped, packed (DT_RELR, which musl knows since 1.2.4): a twenty-fourth of the room, 140 KB less.
PACKED := -C link-arg=-Wl,-z,pack-relative-relocs
OUT := target/demo
PLATFORM := target/platform

DEMO_PACKAGES := ca-certificates e2fsprogs gcc gcc-aarch64-linux-gnu libc6-dev libc6-dev-arm64-cross mmdebstrap musl-tools qemu-system-x86 qemu-utils uidmap
TEST_PACKAGES := $(DEMO_PACKAGES) bird2 busybox cloud-init curl dash debian-archive-keyring faketime file frr gobgpd iproute2 minisign nftables openssl perl procps python3 python3-pip python3-yaml \
	qemu-user shellcheck systemd unzip util-linux wget

help:
	@echo 'make demo      build everything, boot one node in QEMU and watch it come up'
	@echo 'make test      everything CI runs: format, clippy, all suites, one machine booted to the end'
	@echo 'make init      only the static first-boot binaries'
	@echo 'make anymetal  the builder, optimised: target/release/anymetal'
	@echo 'make bench-guard  what the guard takes while all is well'
	@echo 'make soak      ten minutes of health: the guard says nothing, and what it takes'
	@echo 'make bench-acquire  fetching and installing, beside a shell that does it'
	@echo 'make bench-bundle  what a bundle takes, beside tar and sha256sum'
	@echo 'make fuzz      readers of what strangers write, fed what a fuzzer makes of it'
	@echo 'make platform  what the suites install; real programs from COMPONENTS=DIR, DIR/<component>/<version>/<program>'

demo: setup-demo init artefacts
	cargo run --quiet -p anymetal -- boot images/demo/site.yaml --artefacts $(OUT) --serial-log $(OUT)/serial.log

test: setup check cargo-test shipped boot

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	cd tests/doubles/platform && cargo fmt --check && cargo clippy --locked --all-targets -- -D warnings
	cd tests/fuzz && cargo fmt --check
	cd tests/bindle && cargo fmt --check && RUSTFLAGS='$(REMAP)' cargo clippy --locked --release --target x86_64-unknown-linux-musl -- -D warnings

cargo-test: init artefacts platform bird3 cloud-init25
	ANYMETAL_PLATFORM=$(CURDIR)/$(PLATFORM) ANYMETAL_INIT=$(CURDIR)/target/x86_64-unknown-linux-musl/ship/anymetal-init cargo test --workspace
	@cat target/tmp/withdrawals-*.txt
	cd tests/doubles/platform && cargo test --locked

# What the guard takes while all is well: memory, and its share of a core. Two minutes of it, and ten.
bench-guard: HEALTH := 120
soak: HEALTH := 600
bench-guard soak: init
	ANYMETAL_HEALTH_SECONDS=$(HEALTH) ANYMETAL_INIT=$(CURDIR)/target/x86_64-unknown-linux-musl/ship/anymetal-init \
		cargo test -p anymetal-init --test anycast health_says -- --nocapture

# Acquire and install beside curl, sha256sum, unzip and tar one after the other: ratios, both in the same run.
bench-acquire: init
	ANYMETAL_INIT=$(CURDIR)/target/x86_64-unknown-linux-musl/ship/anymetal-init cargo bench -p anymetal-init --bench acquire

# How long a bundle takes to build and to verify, beside `tar` and `sha256sum` of the same files.
bench-bundle: setup-rust
	cargo bench -p anymetal --bench bundle

# Readers of what strangers write, fed what a fuzzer makes of it, each for so many seconds. What it finds is in target/fuzz.
FUZZ_SECONDS := 60
FUZZED := archive bundle index lock release signature
COVERAGE := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
	-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions

fuzz: setup-rust
	@tests/setup-packages g++
	cd tests/fuzz && CARGO_TARGET_DIR=$(CURDIR)/target/fuzz RUSTFLAGS='$(COVERAGE)' cargo build --release --locked --target x86_64-unknown-linux-gnu
	set -e; for reader in $(FUZZED); do mkdir -p target/fuzz/corpus/$$reader; \
		target/fuzz/x86_64-unknown-linux-gnu/release/$$reader -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 \
			-artifact_prefix=target/fuzz/$$reader- target/fuzz/corpus/$$reader; done

shipped: init
	cargo test -p anymetal --features shipped --test shipped

boot: init artefacts platform
	ANYMETAL_PLATFORM=$(CURDIR)/$(PLATFORM) cargo test -p anymetal --features qemu --test boot

anymetal: setup-rust
	cargo build --release -p anymetal

init: init-x86_64 init-aarch64

init-x86_64 init-aarch64: init-%: setup-rust
	RUSTFLAGS='$(REMAP) $(if $(filter x86_64,$*),$(PACKED))' cargo build --profile ship -p anymetal-init --target $*-unknown-linux-musl

artefacts: setup-rust
	cargo run --quiet -p anymetal --example demo-artefacts -- $(OUT)

# What the platform's suites install: a real Traefik, Bindle's real server, doubles of what cannot be had everywhere, and real ones from COMPONENTS,
# a folder with <component>/<version>/<program>.
platform: doubles bindle traefik
	cargo run --quiet -p anymetal --example platform-artefacts -- $(PLATFORM) --components target/real $(if $(COMPONENTS),--components $(abspath $(COMPONENTS)) $(addprefix --use ,$(USE)))

doubles: setup-rust
	cd tests/doubles/platform && RUSTFLAGS='$(REMAP)' cargo build --release --locked --bins --target x86_64-unknown-linux-musl

bindle: setup-rust
	cd tests/bindle && RUSTFLAGS='$(REMAP)' cargo build --release --locked --target x86_64-unknown-linux-musl

# A real Traefik, out of a package that carries its makers' binary: fetched once.
traefik:
	@tests/setup-traefik target/real

# BIRD 3, which the suites run beside the operating system's: fetched once.
bird3:
	@tests/setup-trixie target/bird3 bird3 usr/sbin/bird

# The cloud-init of a newer Debian, whose merging the suites ask beside the operating system's: fetched once.
cloud-init25:
	@tests/setup-trixie target/cloud-init25 cloud-init usr/bin/cloud-init

# Rewrites every golden from what the code does now; read the difference in review.
goldens:
	UPDATE_GOLDENS=1 cargo test --workspace

setup-demo: PACKAGES := $(DEMO_PACKAGES)
setup: PACKAGES := $(TEST_PACKAGES)
setup setup-demo: setup-rust
	@tests/setup-packages $(PACKAGES)

setup-rust:
	@tests/setup-rust $(TOOLCHAIN)
