# SPDX-License-Identifier: GPL-2.0-or-later
# A thin front of meson.
#
#   make                 build (as any user; the libraries must be there)
#   sudo make demo       install what is missing, build, and show a container going down and coming back
#   sudo make check      install what is missing, build, and run every test
#   make install         build and install; PREFIX and DESTDIR as usual
#   make clean           remove what the other targets built
#
# BUILD is the build directory (build); JOBS the number of jobs of a build (one a processor).
BUILD ?= build
PREFIX ?= /usr/local
NINJA = ninja -C $(BUILD) $(if $(JOBS),-j$(JOBS))

.PHONY: all deps demo-deps demo check install clean

all: $(BUILD)/build.ninja
	$(NINJA)

$(BUILD)/build.ninja:
	meson setup $(BUILD) --prefix=$(PREFIX)

deps:
	contrib/install-deps

demo-deps:
	contrib/install-deps demo

demo: demo-deps
	$(MAKE) --no-print-directory all
	contrib/demo/demo $(BUILD)

check: deps
	BUILD=$(BUILD) JOBS=$(JOBS) tests/check

install: all
	DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) $(BUILD)-check $(BUILD)-sanitize
