# SPDX-License-Identifier: GPL-2.0
#
# `make lint`: each check of each file leaves a stamp in build/lint when it had
# nothing to say, and is not repeated until the file changes. What a check says
# is printed, and fails.

C_FILES := $(wildcard kmod/*.[ch] uapi/linux/*.h lib/*.[ch] tools/*.[ch] bench/*.[ch] \
	selftests/*.[ch] selftests/host/*.[ch] selftests/vm/*.c)
LIB_FILES := $(wildcard lib/*.c)
# Shell scripts are known by their first line.
SCRIPTS := $(shell grep -rlE --exclude-dir=.git '^\#!/bin/(ba)?sh' \
	$(wildcard .ci bench scripts selftests tools))

.PHONY: lint
lint: $(C_FILES:%=build/lint/checkpatch/%) \
	$(LIB_FILES:%=build/lint/gcc/%) $(LIB_FILES:%=build/lint/clang/%) \
	$(SCRIPTS:%=build/lint/shellcheck/%) \
	build/lint/module-6.1 build/lint/module-6.12

# silent COMMAND: it must succeed without a word
silent = @mkdir -p $(@D); said=$$({ $(1); } 2>&1) && [ -z "$$said" ] || \
	{ printf '%s\n' "$$said"; exit 1; }; touch $@

# What is asked of the kernel's code only: its macros, its types, its names.
# EMBEDDED_FUNCTION_NAME stumbles over words like "get" in what a program says.
ignore := PREFER_KERNEL_TYPES,ARRAY_SIZE,PREFER_FALLTHROUGH,BIT_MACRO
ignore := $(ignore),PREFER_DEFINED_ATTRIBUTE_MACRO,EMBEDDED_FUNCTION_NAME
build/lint/checkpatch/kmod/%: ignore := NONE
build/lint/checkpatch/selftests/vm/%: ignore := NONE
# A header that user space includes has no BIT().
build/lint/checkpatch/uapi/%: ignore := BIT_MACRO
# Names that a peer or the C library has chosen, and that it declares nowhere
build/lint/checkpatch/bench/iceoryx.c: ignore := $(ignore),CAMELCASE
build/lint/checkpatch/bench/record.c: ignore := $(ignore),AVOID_EXTERNS
# A field by its struct and member, and options that several commands have
build/lint/checkpatch/tools/output.h: ignore := $(ignore),MACRO_ARG_REUSE,COMPLEX_MACRO
# TRACE_EVENT() is laid out in its own way everywhere in the kernel.
build/lint/checkpatch/kmod/trace.h: ignore := OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT

build/lint/checkpatch/%: % scripts/lint.mk
	$(call silent,perl build/linux/scripts/checkpatch.pl --strict --no-tree \
		--no-summary --terse --show-types --ignore $(ignore) -f $<)

HEADERS := $(wildcard lib/*.h uapi/linux/*.h)
FLAGS := -std=gnu11 -D_GNU_SOURCE -Ilib -Iuapi -DSLABSHM_VERSION='""'

build/lint/gcc/%: % $(HEADERS) scripts/lint.mk
	$(call silent,gcc $(FLAGS) -Wall -Wextra -Wconversion -fanalyzer -c -o /dev/null $<)

build/lint/clang/%: % $(HEADERS) scripts/lint.mk
	$(call silent,clang $(FLAGS) -Wall -Wextra -Wthread-safety -Wcomma \
		-Wconditional-uninitialized -Wunreachable-code -Wmissing-variable-declarations \
		-Wassign-enum -Wformat-nonliteral -fsyntax-only $< && \
		clang $(FLAGS) --analyze --analyzer-output text $<)

build/lint/shellcheck/%: % scripts/lint.mk
	$(call silent,shellcheck -x $<)

# From scratch, as Kbuild says nothing again about what it has built. C=2: sparse
# for all files.
build/lint/module-%: kmod/Kbuild $(wildcard kmod/*.[ch] uapi/linux/*.h) scripts/lint.mk \
		scripts/floors
	@rm -rf build/lint/kmod-$*
	$(call silent,$(MAKE) -s modules KDIR=$$(selftests/vm/kernel --kdir $*) \
		KMOD=build/lint/kmod-$* W=1 C=2 && scripts/floors build/lint/kmod-$*/kmod)
