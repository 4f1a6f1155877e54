# Portolan: `make run` shows it, `make test` proves it, `make bench` measures it.
CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=
RELEASE := $(or $(CARGO_TARGET_DIR),target)/release

PROGRAMS := portolan portolan-wrapper portolan-worker
MANUALS := $(wildcard packaging/man/*.[1-8])
EXAMPLES := $(wildcard packaging/examples/*)

.PHONY: build run test bench install deb
.DEFAULT_GOAL := build

build:
	$(CARGO) build --release --workspace --bins

# The demonstration: the three programs on an embedded configuration, with servers of its own.
run: build
	@exec $(RELEASE)/portolan demo

# The end-to-end tests run the real programs, with Redis, MariaDB, PostgreSQL and nginx among others
# behind them (as root, missing ones are installed; PORTOLAN_SKIP_NOTHING=1 makes a missing one fail).
test:
	tests/install-peers.sh
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) build --workspace --bins
	$(CARGO) test --workspace --no-fail-fast

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

# Builds nothing, so that it can run as root after a build that did not.
install:
	install -d $(DESTDIR)$(PREFIX)/sbin
	install -m 0755 $(PROGRAMS:%=$(RELEASE)/%) $(DESTDIR)$(PREFIX)/sbin
	$(foreach file,$(MANUALS),install -D -m 0644 $(file) \
	    $(DESTDIR)$(PREFIX)/share/man/man$(subst .,,$(suffix $(file)))/$(notdir $(file)) &&) true
	$(foreach file,$(EXAMPLES),install -D -m 0644 $(file) \
	    $(DESTDIR)$(PREFIX)/share/doc/portolan/examples/$(notdir $(file)) &&) true

deb:
	@echo 'make deb: there is no Debian package yet; use make install' >&2
	@exit 1
