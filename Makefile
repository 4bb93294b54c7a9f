# Installs the library, its header and the tool. A thin layer over cargo: it builds nothing by itself.
#
#   make                        build everything (cargo build --release)
#   make install PREFIX=/usr    install below PREFIX, by default /usr/local
#   make install DESTDIR=root   the same, below another root, for packages
#   make uninstall              remove what `make install` with the same variables put there
#   make deb                    a Debian package in target/package
#
# A mapped library must not change under the processes that use it, so each file is written beside its place and
# renamed into it; nothing is overwritten.

PREFIX ?= /usr/local
DESTDIR ?=
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
BINDIR ?= $(PREFIX)/bin
DATADIR ?= $(PREFIX)/share
# Where cargo left the build; a cross build has its own folder below target/.
BUILD ?= target/release
CARGO ?= cargo
STRIP ?= strip
# The tool, where it was built elsewhere; it also writes the completions and man pages.
OLEAN ?= $(BUILD)/olean

VERSION := $(shell sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
SONAME := $(shell sed -n 's/^const SONAME: &str = "\(.*\)";/\1/p' build.rs)
MANIFEST = $(DATADIR)/doc/lean-region/MANIFEST
STAGE := target/package/stage
PACKAGES ?= target/package
ARCH := $(shell uname -m)

.PHONY: all build stage install uninstall deb

all: build

build:
	$(CARGO) build --release --locked

# Everything that is installed, below one folder, as it will lie below PREFIX.
stage:
	@test -f $(BUILD)/liblean_region.so || { echo "$(BUILD)/liblean_region.so is not there: run make first" >&2; exit 1; }
	rm -rf $(STAGE)
	mkdir -p $(STAGE)
	sh packaging/stage.sh "$(STAGE)" "$(BUILD)" "$(OLEAN)" "$(STRIP)" "$(VERSION)" "$(SONAME)" \
	    "$(PREFIX)" "$(LIBDIR)" "$(INCLUDEDIR)" "$(BINDIR)" "$(DATADIR)"

install: stage
	sh packaging/place.sh install "$(STAGE)" "$(DESTDIR)" "$(MANIFEST)"

uninstall:
	sh packaging/place.sh uninstall "$(DESTDIR)" "$(MANIFEST)"

deb:
	$(MAKE) stage PREFIX=/usr LIBDIR=/usr/lib/$(ARCH)-linux-gnu
	sh packaging/deb.sh "$(STAGE)" "$(VERSION)" "$(PACKAGES)"
