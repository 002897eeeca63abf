# Thin: each target is one or two cargo lines. `make help` lists them.

CARGO   ?= cargo
PREFIX  ?= /usr/local
DESTDIR ?=
# Not from the environment: tcsh sets it there to the group of the user.
GROUP   :=
TOOLS   := certck datack hostck permck profctl profd proftap tracecv traceq tracewhy
# What the demo runs: a fresh machine need not build the readers and writers of column formats for it.
DEMO_TOOLS := certck profctl profd proftap traceq
FUZZ_SECONDS ?= 10
# Entries of the tree that permck is measured on; a million takes some minutes.
BENCH_ENTRIES ?= 1000000

# With ALLOW_MISSING=1, `make check` leaves out what needs a program that is not installed, and says so.
ALLOW_MISSING ?=
# The compiler for `make msrv`: Debian's, where that has the lowest version (package rustc, in Debian 12 rustc-web).
MSRV_RUSTC ?= /usr/bin/rustc
# Fails because of a missing program, or says that its check was left out: its name, and how to install it.
missing = { echo "check: $(1) is not installed: install it ($(2)), or leave this check out with ALLOW_MISSING=1" >&2; test -n "$(ALLOW_MISSING)"; }

# Builds the optimized tools and prints their directory: the one place that knows it.
RELEASE := CARGO="$(CARGO)" sh packaging/release

.DEFAULT_GOAL := build
.PHONY: help build release demo test check msrv house fmt bless bench bench-peers fuzz interop install package deb rpm \
	image uninstall compare clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

build: ## All tools, unoptimized
	$(CARGO) build --bins

release: ## All tools, optimized; prints their directory
	@$(RELEASE)

demo: ## Certificates, daemon, training job, trace and summary, end to end (TORCH=1: with a real PyTorch process)
	@bin=$$(PROFILE=demo $(RELEASE) $(DEMO_TOOLS)) && TORCH="$(TORCH)" BIN="$$bin" sh demo/run

test: ## All tests; the last line says how many passed, failed and were skipped, and why
	@CARGO="$(CARGO)" sh tests/run

check: ## Formatting, lints, the tools of the demo alone, documentation, names and import circles, licenses, manual pages (ALLOW_MISSING=1: without the last two if their programs are missing)
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) check --quiet --bins --no-default-features --features "$(DEMO_TOOLS)"
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	$(CARGO) test --workspace --quiet --test house
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --log-level error check licenses bans sources; \
	else $(call missing,cargo-deny,cargo install --locked cargo-deny); fi
	@if command -v mandoc >/dev/null 2>&1; then mandoc -T lint -W warning man/*.[1-8] | grep -v 'referenced manual not found'; test $$? = 1; \
	else $(call missing,mandoc,the package mandoc); fi

msrv: ## Compiles the tools with the lowest Rust version that Cargo.toml declares; MSRV_RUSTC is that compiler
	@MSRV_RUSTC="$(MSRV_RUSTC)" CARGO="$(CARGO)" sh packaging/msrv

house: ## Figures on names, comments, import circles and rules; make check fails if one is beyond its limit
	$(CARGO) test --quiet --test house -- --ignored --nocapture figures

fmt: ## Format the sources
	$(CARGO) fmt --all

bless: ## Rewrite generated files and goldens: man, completions, schema, transcripts, documents
	BLESS=1 TRYCMD=overwrite $(CARGO) test --quiet --test generated --test cases --test documents

bench: ## Benchmarks: prints JSON lines, asserts nothing
	$(CARGO) bench --workspace
	@bin=$$($(RELEASE)) && sh tools/permck/bench/audit.sh "$$bin" $(BENCH_ENTRIES)

bench-peers: ## traceq and tracecv beside other programs that read and convert traces (makes a virtual environment outside the tree)
	@bin=$$($(RELEASE)) && sh tools/traceq/bench/peers.sh "$$bin" && sh tools/traceq/bench/databases.sh "$$bin" && \
		sh tools/tracecv/bench/convert.sh "$$bin"

compare: ## traceq and tracewhy beside other programs, on the same traces (makes a virtual environment outside the tree)
	@bin=$$($(RELEASE)) && BIN="$$bin" sh benches/compare

fuzz: ## Every fuzz target for FUZZ_SECONDS
	fuzz/run $(FUZZ_SECONDS)

interop: ## Against parts that others wrote: PyTorch, promtool, sarif-tools (makes virtual environments outside the tree)
	CARGO="$(CARGO)" tests/interop/run

install: ## Tools, manual pages and completions below DESTDIR and PREFIX; as root for every user, or with GROUP=NAME for a group
	@bin=$$($(RELEASE)) && BIN="$$bin" DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" GROUP="$(GROUP)" \
		sh packaging/install install $(TOOLS)

# A package of the optimized tools in out/.
PACKAGE = @bin=$$($(RELEASE)) && BIN="$$bin" CARGO="$(CARGO)" sh packaging/package

package: ## A .tar.gz of the tools in out/, to unpack anywhere
	$(PACKAGE) archive $(TOOLS)

deb: ## A Debian package in out/: tools, units, account (docs/guide/installation.md)
	$(PACKAGE) deb $(TOOLS)

rpm: ## An RPM package in out/ (cargo install --locked cargo-generate-rpm)
	$(PACKAGE) rpm $(TOOLS)

image: ## An OCI image of profd in out/, for containers
	$(PACKAGE) image profd

uninstall: ## Remove what `make install` installed
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" sh packaging/install uninstall $(TOOLS)

clean: ## Delete build products
	$(CARGO) clean
