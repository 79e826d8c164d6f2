# SPDX-License-Identifier: GPL-2.0
#
# Everything but the module's own rules, which are in kmod/Kbuild. `make help` tells
# what can be made. All that is made lies in build/.

VERSION := $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' dkms.conf)
PREFIX := /usr/local
LIBDIR := $(PREFIX)/lib
DEMO_DIR := /usr/include
CC := gcc

.PHONY: all
all: lib tools selftests

# ---------------------------------------------------------------- the module

# Kbuild puts what it makes beside the sources: each kernel gets a folder with
# links to them, and so several can be built side by side.
ifeq ($(filter modules,$(MAKECMDGOALS)),modules)
KDIR := $(shell selftests/vm/kernel --kdir)
RELEASE := $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' \
	$(KDIR)/include/generated/utsrelease.h)
ifeq ($(RELEASE),)
$(error KDIR=$(KDIR) holds no prepared kernel: try  make deps)
endif
endif
KMOD := build/kmod-$(RELEASE)

.PHONY: modules
modules:
	@mkdir -p $(KMOD)
	@cp -rsf $(CURDIR)/dkms.conf $(CURDIR)/kmod $(CURDIR)/uapi $(KMOD)
	@find $(KMOD) -xtype l -delete
	+flock $(KMOD) $(MAKE) -C $(KDIR) M=$(CURDIR)/$(KMOD)/kmod \
		CONFIG_DEBUG_INFO_BTF_MODULES= modules

# ---------------------------------------------------------------- user space

CFLAGS := -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wpointer-arith -Wwrite-strings -Wundef -Wvla \
	-Wimplicit-fallthrough
ALL_CFLAGS := -std=gnu11 $(WARNINGS) -Ilib -Iuapi -D_GNU_SOURCE \
	-DSLABSHM_VERSION='"$(VERSION)"' -pthread -MMD -MP $(CFLAGS)

LIB_OBJS := $(patsubst lib/%.c,build/lib/%.o,$(wildcard lib/*.c))
STATIC := build/lib/libslabshm.a
SHARED := build/lib/libslabshm.so.0

TOOL_OBJS := $(patsubst tools/%.c,build/tools/%.o,\
	$(filter-out tools/demo.c,$(wildcard tools/*.c)))
TOOLS := $(if $(TOOL_OBJS),build/tools/slabshm) \
	$(if $(wildcard tools/demo.c),build/tools/slabshm-demo)

PLUGINS := build/selftests/plugin/static.so build/selftests/plugin/shared.so
SELFTESTS := $(patsubst %.c,build/%,$(wildcard selftests/*.c selftests/host/*.c)) \
	build/selftests/tool $(PLUGINS)

.PHONY: lib tools selftests
lib: $(if $(LIB_OBJS),$(STATIC) $(SHARED))
tools: $(TOOLS)
selftests: $(SELFTESTS)

build/lib/%.o: lib/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -fPIC -fvisibility=hidden -c -o $@ $<

build/tools/%.o: tools/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(STATIC): $(LIB_OBJS)
	@rm -f $@
	$(AR) rcs $@ $^

$(SHARED): $(LIB_OBJS) lib/libslabshm.map
	$(CC) -shared -pthread -Wl,-soname,$(@F) -Wl,--version-script,lib/libslabshm.map \
		-Wl,-z,defs -Wl,-z,nodelete $(LDFLAGS) -o $@ $(LIB_OBJS)
	@ln -sf $(@F) build/lib/libslabshm.so

build/tools/slabshm: $(TOOL_OBJS) $(STATIC)
	$(CC) -pthread $(LDFLAGS) -o $@ $^

build/tools/slabshm-demo: build/tools/demo.o $(STATIC)
	$(CC) -pthread $(LDFLAGS) -o $@ $^

# The kselftest headers and checkpatch stand in no smaller package.
KERNEL_TREE := build/linux
$(KERNEL_TREE)/complete: scripts/kernel-files
	scripts/kernel-files $(KERNEL_TREE)

build/selftests/%: selftests/%.c $(STATIC) | $(KERNEL_TREE)/complete
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Iselftests -isystem $(KERNEL_TREE)/tools/testing/selftests \
		$(LDFLAGS) -o $@ $< $(STATIC) $(LDLIBS)

# glibc loads it when a thread is cancelled
build/selftests/cancel: LDLIBS := -Wl,--no-as-needed -lgcc_s
build/selftests/dlclose: LDLIBS := -ldl
build/selftests/loops: LDLIBS := -luring -luv

# Of selftests/dlclose: they bring the library
PLUGIN = $(CC) $(ALL_CFLAGS) -fPIC -shared $(LDFLAGS) -o $@ $<

build/selftests/plugin/static.so: selftests/plugin/plugin.c $(STATIC)
	@mkdir -p $(@D)
	$(PLUGIN) $(STATIC)

build/selftests/plugin/shared.so: selftests/plugin/plugin.c $(SHARED)
	@mkdir -p $(@D)
	cp $(SHARED) $(@D)
	$(PLUGIN) -Wl,-rpath,'$$ORIGIN' $(SHARED)

# A script, with the tool that it tests
build/selftests/tool: selftests/tool build/tools/slabshm
	@mkdir -p $(@D)/bin
	cp build/tools/slabshm $(@D)/bin
	cp $< $@

-include $(wildcard build/lib/*.d build/tools/*.d build/selftests/*.d \
	build/selftests/host/*.d build/selftests/plugin/*.d)

# ---------------------------------------------------------------- trying it

.PHONY: check check-debug lint dkms-check demo
check: deps
	@$(MAKE) -s all
	@selftests/run host 6.1 newest

check-debug: deps
	@$(MAKE) -s all
	@selftests/run debug kcsan

lint: deps $(KERNEL_TREE)/complete
	@$(MAKE) -s -k -j$(shell nproc) -O -f scripts/lint.mk lint

dkms-check:
	selftests/host/dkms

# DEMO_DIR goes into the machine's memory, so at most 64 MiB of it are taken.
demo: deps
	@$(MAKE) -s tools
ifdef NATIVE
	build/tools/slabshm-demo $(DEMO_DIR)
else
	@scripts/take-files $(DEMO_DIR) build/demo
	selftests/vm/run --mem 2G --timeout 300 --add build/demo:/demo -- \
		build/tools/slabshm-demo /demo
endif

# ---------------------------------------------------------------- figures and proof

BENCHES := $(addprefix build/bench/,slabshm boost lmdb iceoryx bare malloc read kernel \
	compact wait lock record.so)
ICEORYX := $(lastword $(wildcard /usr/include/iceoryx/*))

.PRECIOUS: build/bench/%.o
build/bench/%.o: bench/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(addprefix -isystem ,$(ICEORYX)) -c -o $@ $<

build/bench/boost.o: bench/boost.cc
	@mkdir -p $(@D)
	$(CXX) $(filter-out -std=gnu11 -Wstrict-prototypes -Wmissing-prototypes \
		-Wold-style-definition,$(ALL_CFLAGS)) -std=c++17 -c -o $@ $<

# What each program is linked with beside the other objects
build/bench/boost: private CC := $(CXX)
# Without assertions, as what is shipped; and what is inlined must not depend on how
# many rows there are.
build/bench/boost.o: private ALL_CFLAGS += -DNDEBUG --param inline-unit-growth=400
build/bench/lmdb: private LDLIBS := -llmdb
build/bench/iceoryx: private LDLIBS := -liceoryx_binding_c
build/bench/bare build/bench/read: private LDLIBS := -lurcu-memb

# With the shared library, as programs are
build/bench/%: build/bench/%.o build/bench/bench.o $(SHARED)
	$(CC) -pthread $(LDFLAGS) -Wl,-rpath,$(CURDIR)/$(dir $(SHARED)) -o $@ \
		$(filter %.o,$^) $(SHARED) $(LDLIBS) -lm

build/bench/record.so: bench/record.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -fPIC -shared -o $@ $<

-include $(wildcard build/bench/*.d)

.PHONY: bench model
bench:
	@scripts/deps bench
	@$(MAKE) -s $(BENCHES)
	bench/run $(if $(NATIVE),--native)

build/model: model/model.c
	@mkdir -p $(@D)
	$(CC) -O2 $(WARNINGS) -o $@ $<

model: build/model
	build/model --all

# ---------------------------------------------------------------- the rest

.PHONY: deps install clean help
deps:
	@scripts/deps

install: lib tools
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/include/linux \
		$(DESTDIR)$(PREFIX)/bin
	install -m 644 $(STATIC) $(DESTDIR)$(LIBDIR)
	install -m 755 $(SHARED) $(DESTDIR)$(LIBDIR)
	ln -sf $(notdir $(SHARED)) $(DESTDIR)$(LIBDIR)/libslabshm.so
	install -m 644 lib/slabshm.h $(DESTDIR)$(PREFIX)/include
	install -m 644 uapi/linux/slabshm.h $(DESTDIR)$(PREFIX)/include/linux
	sed 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|' \
		lib/slabshm.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/slabshm.pc
	install -m 755 build/tools/slabshm $(DESTDIR)$(PREFIX)/bin
	for page in $(wildcard Documentation/*.[1347]); do \
		dir=$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}; \
		install -d $$dir && install -m 644 $$page $$dir || exit 1; \
	done
# Each function's name finds the page of its family.
	cd $(DESTDIR)$(PREFIX)/share/man/man3 && for page in slabshm_*.3; do \
		for name in $$(sed '/^\.SH LIBRARY/,$$d' $$page | grep -o 'slabshm_[a-z_]*'); do \
			[ -e $$name.3 ] || ln -s $$page $$name.3 || exit 1; \
		done; \
	done

clean:
	rm -rf build

help:
	@echo 'make                 library, tools and selftests, into build/'
	@echo 'make modules         the module for the newest installed Debian 6.1 headers,'
	@echo '                     KDIR=... for other ones (selftests/vm/kernel has many);'
	@echo '                     W=1 and C=1 as in the kernel'
	@echo 'make demo            the demo in a virtual machine; DEMO_DIR=/usr/include is'
	@echo '                     what it serves; NATIVE=1: here, with /dev/slabshm'
	@echo 'make check           all tests on stock 6.1 and on the newest kernel that Debian'
	@echo '                     offers, builds for what is between, DKMS included (about'
	@echo '                     a quarter of an hour)'
	@echo 'make check-debug     selftests and KUnit on the debug and the KCSAN kernel,'
	@echo '                     and a bug for each checker to find'
	@echo 'make lint            checkpatch, sparse, W=1, analyzers, shellcheck'
	@echo 'make dkms-check      build through DKMS for 6.1, 6.12 and the newest kernel'
	@echo 'make bench           slabshm beside its peers, in virtual machines; NATIVE=1: here,'
	@echo '                     BENCH_LONG=1: more and longer, see bench/run'
	@echo 'make model           checks the protocol of the readers exhaustively'
	@echo 'make install         library, headers, tool, man pages: PREFIX=/usr/local DESTDIR='
	@echo 'make deps            install what is needed (as root), or print how'
	@echo 'make clean           remove build/'
	@echo 'selftests/vm/run     any command in a virtual machine with the module'
