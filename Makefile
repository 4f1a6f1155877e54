# Portolan: `make run` shows it, `make test` proves it.
CARGO ?= cargo
PREFIX ?= /usr/local
DESTDIR ?=

.PHONY: build run test bench install deb clean
.DEFAULT_GOAL := build

build:
	$(CARGO) build --release --workspace --bins

test:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) test --workspace
