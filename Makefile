# Portolan: `make run` shows it, `make test` proves it, `make bench` and `make proof` measure it.
CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
RELEASE := $(or $(CARGO_TARGET_DIR),target)/release

.PHONY: build run test bench proof fuzz install deb
.DEFAULT_GOAL := build

build:
	$(CARGO) build --release --workspace --bins

# The demonstration: the three programs on an embedded configuration, with servers of its own.
run: build
	@exec $(RELEASE)/portolan demo

# The end-to-end tests run the real programs, with Redis, MariaDB, PostgreSQL and nginx among others
# behind them (as root, missing ones are installed; PORTOLAN_SKIP_NOTHING=1 makes a missing one fail).
# The Debian package is tried in guests of Debian 12 and 13 with their own systemd: tests/tests/package.rs.
test:
	tests/install-peers.sh
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) build --workspace --bins
	CARGO='$(CARGO)' tests/run-all.sh

# Beside HAProxy and nginx (Debian's packages; as root, missing ones are installed), twenty to thirty minutes.
# A whole run writes docs/bench.md and docs/bench.svg, a part of it target/bench/.
#   BENCH=messages,connections,bulk,idle,calls,instructions,reload,limits,http  only these; http is
#                  http-requests,-connections,-bodies,-latency,-idle,-calls,-instructions,-hosts
#   QUICK=1        smaller counts
#   HAPROXY=FILE   a newer HAProxy besides
#   ONLY=NAMES     only contenders whose name contains one of these (haproxy,portolan)
#   LOGS=off       nobody logs
#   PROFILES=DIR   keeps callgrind's files there, for callgrind_annotate
bench: build
	@BENCH='$(BENCH)' QUICK='$(QUICK)' HAPROXY='$(HAPROXY)' ONLY='$(ONLY)' LOGS='$(LOGS)' \
	PROFILES='$(PROFILES)' \
	$(RELEASE)/portolan-bench

# What reloads and killed processes cost clients, of HAProxy and nginx too: a table, in about five minutes.
#   RELOADS=100 KILLS=50   of each
#   CLIENTS=3      of each of twelve kinds
#   WAIT=300       milliseconds at most before each reload and death
#   ONLY=NAMES     only those whose name contains one of these (haproxy,portolan)
#   PROOF_SEED=N   the choices of another run
proof: build
	@RELOADS='$(RELOADS)' KILLS='$(KILLS)' CLIENTS='$(CLIENTS)' WAIT='$(WAIT)' \
	ONLY='$(ONLY)' PROOF_SEED='$(PROOF_SEED)' $(RELEASE)/portolan-bench proof

# Looks for bytes that break a promise of the HTTP/1 codec, of health checks, of keys or of who takes connections
# over, with libFuzzer and the stable compiler.
#   TARGET=head|chunked|connection|check|key|kept   what they are
#   SECONDS=600                                 for how long; 0: until it finds some
FUZZ_TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_FLAGS := -C passes=sancov-module -C codegen-units=1 \
    $(addprefix -C llvm-args=-sanitizer-coverage-,level=4 inline-8bit-counters pc-table trace-compares)
TARGET ?= connection
SECONDS ?= 600
fuzz:
	RUSTFLAGS='$(FUZZ_FLAGS)' $(CARGO) build --release --manifest-path fuzz/Cargo.toml \
	    --target $(FUZZ_TARGET) --target-dir target/fuzz
	mkdir -p target/fuzz/found/$(TARGET)
	target/fuzz/$(FUZZ_TARGET)/release/$(TARGET) -max_len=3000 -max_total_time=$(SECONDS) \
	    -artifact_prefix=target/fuzz/ target/fuzz/found/$(TARGET) worker/corpus/$(TARGET)

# Builds nothing, so that it can run as root after a build that did not. What is installed where is in
# packaging/files; what lies below /etc already stays as it is. DESTDIR and PREFIX are obeyed.
install:
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' packaging/install $(RELEASE) packaging/files

# The Debian package, in target/debian.
#   PORTOLAN_DEB_BIN=DIRECTORY  of these programs instead of a release build
#   VERSION=VERSION             as another version
deb: $(if $(PORTOLAN_DEB_BIN),,build)
	@PORTOLAN_DEB_BIN='$(PORTOLAN_DEB_BIN)' VERSION='$(VERSION)' packaging/debian/build
