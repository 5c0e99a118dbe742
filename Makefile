# hartscale: `make bench` and `make test` are all that a new machine needs; `make help` lists the rest.
#
# The targets that people type only set up and then hand over: what is missing is installed first
# (tools/setup), a second make builds, and tools/run or a checker does the work. That second make is
# what finds the cross compiler, so a compiler that was installed a moment ago is found too.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# --- what may be said on the command line ----------------------------------------------------------

# Read by tools/run, which checks their values and explains them (tools/run --help).
RUN_VARIABLES   := BENCH FRAME HEAP TRACE LOCK SPLIT ASID PTLOCK SHOOTDOWN IPI HARTS CLOCK PROFILE JOBS PIN LINES QUICK MEM OUT ARGS TIMEOUT SEED PLANT T RUN COUNT QEMU CALLS KERNEL
# SECONDS is no plain environment variable in bash: it goes by another name.
MAKE_VARIABLES  := SECONDS CROSS HOST_CC V
VALID_VARIABLES := $(sort $(RUN_VARIABLES) $(MAKE_VARIABLES))

GIVEN   := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
UNKNOWN := $(filter-out $(VALID_VARIABLES) -*-command-variables-*-,$(GIVEN))
ifneq ($(UNKNOWN),)
$(error unknown variable: $(UNKNOWN) (valid: $(VALID_VARIABLES)))
endif
export $(RUN_VARIABLES)
export STRESS_SECONDS := $(SECONDS)
export HARTSCALE_GIVEN := $(GIVEN)

# JOBS is how many compilers run at a time, and how many machines `make bench` measures with.
ifneq ($(JOBS),)
ifeq ($(shell expr '$(JOBS)' : '[1-9][0-9]\{0,3\}$$'),0)
$(error JOBS=$(JOBS): expected a number from 1 to 1024)
endif
endif
BUILD_JOBS := $(or $(JOBS),$(shell getconf _NPROCESSORS_ONLN))
# A -j given by the user arrives as a job server, which the second make shares.
BUILD   = $(MAKE) $(if $(findstring --jobserver,$(MAKEFLAGS)),,-j$(BUILD_JOBS))
Q      := $(if $(filter-out 0,$(V)),,@)
say     = $(if $(Q),@printf '  %-7s %s\n' '$(1)' '$(2)')

# --- targets for people ----------------------------------------------------------------------------

.PHONY: help bench record stress run debug test boots plot validate-model sweep model-speed lint fmt clean
help: ## this list
	@echo 'make TARGET [VARIABLE=value ...]'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1	\2/p' Makefile | expand -t 12
	@echo 'Variables: $(VALID_VARIABLES)'
	@echo 'What they mean: tools/run --help'

bench: ## measure: boot, print the table, write results/<run>/   BENCH= FRAME= HEAP= LOCK= HARTS= QUICK=1 OUT=
	@tools/setup bench
	+@$(BUILD) release model
	@tools/run bench

record: ## the calls of a heap in a benchmark, as a trace      BENCH= HEAP= HARTS= OUT=file CALLS= KERNEL=1
	@tools/setup bench
	+@$(BUILD) release model
	@tools/run record

stress: ## every variant under contention, validated            SECONDS= SEED= HARTS= FRAME= HEAP=
	@tools/setup bench
	+@$(BUILD) $(if $(PLANT),check,release)
	@tools/run stress

run: ## boot to the console monitor                          HARTS= MEM= FRAME= HEAP= LOCK= SPLIT= SHOOTDOWN=
	@tools/setup bench
	+@$(BUILD) release
	@tools/run monitor

debug: ## the same, waiting for gdb, with gdb attached        HARTS= MEM= FRAME= HEAP= LOCK=
	@tools/setup bench
	+@$(BUILD) check
	@tools/run debug

test: ## every test; ends with `N passed, N failed`           T=filter
	@tools/setup bench test
	+@$(BUILD) release check model host-tests
	@tools/run test

boots: ## boot COUNT times in a row, with time statistics      COUNT= HARTS= CLOCK=model BENCH=
	@tools/setup bench
	+@$(BUILD) release model
	@tools/run boots

validate-model: ## the machine model against what it must show        PROFILE= OUT=
	@tools/setup bench
	+@$(BUILD) release model
	@tools/run validate-model

sweep: ## which rankings hold whatever the model's assumptions  BENCH= HARTS= PROFILE= QUICK=1 OUT=
	@tools/setup bench
	+@$(BUILD) release model
	@tools/run sweep

model-speed: ## how fast the model simulates
	@tools/setup bench
	+@$(BUILD) release model
	@tools/run model-speed

plot: ## draw a run's figures again                           RUN=results/<run>
	@tools/setup bench
	@tools/run plot

lint: ## format, cppcheck, layers, lengths, shellcheck, pyflakes
	@tools/setup bench lint
	+@$(BUILD) -k --output-sync=target lint-format lint-cppcheck lint-layers lint-lengths lint-shell lint-python

fmt: ## format every C file in place
	@tools/setup lint
	clang-format -i $(C_FILES)

clean: ## remove build/ (results stay)
	rm -rf build

# --- the kernel, in two flavours --------------------------------------------------------------------

# release is what gets measured; check adds debug assertions, fault injection and the tests.
CROSS_TRIED := riscv64-linux-gnu- riscv64-elf- riscv64-unknown-elf-
CROSS ?= $(shell for p in $(CROSS_TRIED); do command -v $${p}gcc >/dev/null && echo $$p && break; done)
CROSS := $(CROSS)
GCC   := $(if $(CROSS),$(shell command -v $(CROSS)gcc 2>/dev/null))
CC     = $(or $(GCC),$(error no RISC-V compiler $(or $(CROSS),$(CROSS_TRIED))gcc: run tools/setup, or give CROSS=prefix-))
NM     = $(CROSS)nm

SOURCES := $(wildcard lib/*.c arch/riscv/*.c arch/riscv/*.S trace/*.c smp/*.c mm/*.c mm/*/*.c kernel/*.c bench/*.c)
SOURCES_release := $(SOURCES)
SOURCES_check   := $(SOURCES) $(wildcard tests/kernel/*.c)

# A frame pointer costs two instructions a function and buys every backtrace. No libgcc is linked:
# what the compiler would call there is a mistake here. The compiler's own headers are the only ones in
# reach; its limits.h would chain to the C library's unless told that it has been included already. No frame
# is larger than the guard below a stack (arch/layout.h), or a function could step over it.
CFLAGS := -std=gnu11 -O2 -g -march=rv64imac_zicsr_zifencei -mabi=lp64 -mcmodel=medany \
	-ffreestanding -fno-common -fno-pie -fno-stack-protector -fno-omit-frame-pointer \
	-fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections -ffile-prefix-map=$(CURDIR)/= \
	-Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wundef \
	-Wframe-larger-than=4096 \
	-nostdinc -isystem $(if $(GCC),$(shell $(GCC) -print-file-name=include)) -D_LIBC_LIMITS_H_ -I. -Iarch/riscv/include
CFLAGS_release := -DHARTSCALE_CHECK=0
CFLAGS_check   := -DHARTSCALE_CHECK=1
LDFLAGS := -nostdlib -static -no-pie -T linker/kernel.ld \
	-Wl,--build-id,--gc-sections,--fatal-warnings,--no-warn-rwx-segments,-z,max-page-size=4096

# $(call update,FILE,TEXT-COMMAND): write the file only when the text has changed, so that what depends
# on it is rebuilt exactly then. Several makes may do so at once: each has a temporary file of its own.
update = mkdir -p $(dir $(1)); new=$(1).$$$$; { $(2); } >$$new && if cmp -s $$new $(1); then rm $$new; else mv $$new $(1); fi

define flavour
OBJECTS_$(1) := $$(addprefix build/$(1)/,$$(addsuffix .o,$$(basename $$(SOURCES_$(1)))))
.PHONY: $(1)
$(1): build/$(1)/hartscale.elf

build/$(1)/flags: FORCE
	@$$(call update,$$@,echo '$$(CC) $$(CFLAGS) $$(CFLAGS_$(1))'; $$(CC) --version)

build/$(1)/version.h: FORCE
	@$$(call update,$$@,tools/version '$$(CC)')

build/$(1)/%.o: %.c build/$(1)/flags
	@mkdir -p $$(@D)
	$$(call say,CC,$$<)
	$$(Q)$$(CC) $$(CFLAGS) $$(CFLAGS_$(1)) $$(CFLAGS_OF_$$*) -MMD -MP -c -o $$@ $$<

build/$(1)/%.o: %.S build/$(1)/flags
	@mkdir -p $$(@D)
	$$(call say,AS,$$<)
	$$(Q)$$(CC) $$(CFLAGS) $$(CFLAGS_$(1)) -MMD -MP -c -o $$@ $$<

build/$(1)/kernel/version.o: build/$(1)/version.h
build/$(1)/kernel/version.o: private CFLAGS += -include build/$(1)/version.h

# Linked twice: the first kernel has an empty symbol table and yields the real one for the second.
# The table lies behind .text, so the symbols must not have moved; that is checked.
build/$(1)/ksyms-empty.S: tools/ksyms
	@mkdir -p $$(@D)
	$$(Q)tools/ksyms </dev/null >$$@

build/$(1)/ksyms.S: build/$(1)/unnamed.elf tools/ksyms
	$$(call say,KSYMS,$$@)
	$$(Q)$$(NM) -n $$< | tools/ksyms >$$@

build/$(1)/ksyms.o build/$(1)/ksyms-empty.o: %.o: %.S
	$$(Q)$$(CC) $$(CFLAGS) -c -o $$@ $$<

build/$(1)/unnamed.elf: $$(OBJECTS_$(1)) build/$(1)/ksyms-empty.o linker/kernel.ld
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$(filter %.o,$$^)

build/$(1)/hartscale.elf: $$(OBJECTS_$(1)) build/$(1)/ksyms.o linker/kernel.ld
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$(filter %.o,$$^)
	@$$(NM) -n $$@ | tools/ksyms | cmp -s - build/$(1)/ksyms.S || \
		{ echo 'error: text symbols of $$@ moved between the two links (does .ksyms lie behind .text?)' >&2; exit 1; }

-include $$(OBJECTS_$(1):.o=.d)
endef
# Else the compiler would make memset out of the loop inside memset.
CFLAGS_OF_lib/string := -fno-tree-loop-distribute-patterns
$(foreach name,release check,$(eval $(call flavour,$(name))))

# --- programs for U-mode: bench/user/NAME.c is one each, beside what all of them have ------------------

USER_SHARED   := bench/user/crt0.S bench/user/user.c lib/string.c lib/writer.c lib/rng.c lib/number.c lib/bits.c
USER_PROGRAMS := $(filter-out $(USER_SHARED),$(wildcard bench/user/*.c))
USER_ELFS     := $(patsubst bench/user/%.c,build/user/%.elf,$(USER_PROGRAMS))
USER_OBJECTS  := $(patsubst %,build/user/%.o,$(basename $(USER_PROGRAMS) $(USER_SHARED)))
USER_CFLAGS   := $(filter-out -g -fno-omit-frame-pointer,$(CFLAGS)) -DHARTSCALE_CHECK=0
USER_LDFLAGS  := -nostdlib -static -no-pie -T linker/user.ld \
	-Wl,--build-id=none,--gc-sections,--fatal-warnings,-z,max-page-size=4096,-z,noexecstack

build/user/flags: FORCE
	@$(call update,$@,echo '$(CC) $(USER_CFLAGS)'; $(CC) --version)

build/user/%.o: %.c build/user/flags
	@mkdir -p $(@D)
	$(call say,USERCC,$<)
	$(Q)$(CC) $(USER_CFLAGS) $(CFLAGS_OF_$*) -MMD -MP -c -o $@ $<

build/user/%.o: %.S build/user/flags
	@mkdir -p $(@D)
	$(call say,USERAS,$<)
	$(Q)$(CC) $(USER_CFLAGS) -MMD -MP -c -o $@ $<

# The program of the vm.* workloads is of several files.
USER_LOOPS := $(patsubst %.c,build/user/%.o,$(wildcard bench/user/loops/*.c) lib/histogram.c)
build/user/bench.elf: $(USER_LOOPS)

$(USER_ELFS): build/user/%.elf: build/user/bench/user/%.o $(patsubst %,build/user/%.o,$(basename $(USER_SHARED))) linker/user.ld
	$(call say,LINK,$@)
	$(Q)$(CC) $(USER_LDFLAGS) -o $@ $(filter %.o,$^)

build/user/programs.cpio: $(USER_ELFS) tools/pack-initrd tools/runner/cpio.py
	$(call say,CPIO,$@)
	$(Q)tools/pack-initrd $@ $(USER_ELFS)

release check: build/user/programs.cpio

-include $(USER_OBJECTS:.o=.d) $(USER_LOOPS:.o=.d)

.PHONY: FORCE
FORCE:

# --- the machine model: a QEMU plugin for this host --------------------------------------------------

MODEL         := build/model/libmodel.so
MODEL_SOURCES := $(wildcard tools/model/*.c)
MODEL_OBJECTS := $(patsubst tools/model/%.c,build/model/%.o,$(MODEL_SOURCES))
MODEL_CFLAGS  := -std=gnu11 -O2 -g -fPIC -fvisibility=hidden -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
	-Wpointer-arith -Wvla -Wundef -Itools/model -Iarch/riscv/include
HOST_CC       ?= gcc

.PHONY: model
model: $(MODEL)
	@:

build/model/%.o: tools/model/%.c Makefile
	@mkdir -p $(@D)
	$(call say,HOSTCC,$<)
	$(Q)$(HOST_CC) $(MODEL_CFLAGS) -MMD -MP -c -o $@ $<

$(MODEL): $(MODEL_OBJECTS)
	$(call say,LINK,$@)
	$(Q)$(HOST_CC) -shared -o $@ $^

-include $(MODEL_OBJECTS:.o=.d)

# --- the recorder of a program's heap calls: docs/heap-traces.md -----------------------------------------

.PHONY: heaptrace-preload
heaptrace-preload: build/heaptrace-preload.so ## for LD_PRELOAD: record the heap calls of a program of this host

build/heaptrace-preload.so: tools/heaptrace-preload.c Makefile
	@mkdir -p $(@D)
	$(call say,HOSTCC,$<)
	$(Q)$(HOST_CC) -std=gnu11 -O2 -g -shared -fPIC -fno-builtin -fvisibility=hidden -Wall -Wextra -Werror -Wshadow \
		-Wstrict-prototypes -Wvla -pthread -o $@ $<

# --- host tests and checks --------------------------------------------------------------------------

include tests/host/host.mk

LISTED       = $(wildcard $(shell git ls-files --cached --others --exclude-standard -- $(1)))
C_FILES      = $(call LISTED,'*.c' '*.h')
SHELL_FILES  = $(shell grep -lE '^\#!.*\b(ba)?sh$$' $(call LISTED,tools tests .ci))
PYTHON_FILES = $(shell grep -lE '^\#!.*python' $(call LISTED,tools tests)) $(call LISTED,'*.py')

.PHONY: lint-format lint-cppcheck lint-layers lint-lengths lint-shell lint-python
# Releases of clang-format differ in details; the tree follows one of them, and others would object to all of them.
CLANG_FORMAT_MAJOR := 14
lint-format:
	$(call say,LINT,format)
	$(Q)if clang-format --version | grep -q 'version $(CLANG_FORMAT_MAJOR)\.'; then \
		clang-format --dry-run -Werror $(C_FILES); \
	else \
		echo 'note: format not checked: this is not clang-format $(CLANG_FORMAT_MAJOR) but:'; clang-format --version; \
	fi

# What is suppressed: cppcheck does not see that asm writes its output operands, and its newer releases do not parse
# some of it; the bounds of link sets and of the image are objects apart to it; and a hint to the model looks to it like a
# statement without effect.
lint-cppcheck:
	$(call say,LINT,cppcheck)
	@mkdir -p build/cppcheck
	$(Q)cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --platform=unix64 -j$(BUILD_JOBS) \
		--cppcheck-build-dir=build/cppcheck --enable=warning,performance,portability \
		--suppress=missingIncludeSystem --suppress='uninitvar:arch/riscv/*' --suppress=uninitvar:tests/kernel/test_machine.c \
		--suppress='syntaxError:arch/riscv/*' --suppress=comparePointers --suppress=subtractPointers \
		--suppress=constStatement:arch/riscv/model.c --suppress=normalCheckLevelMaxBranches \
		-D__riscv -D__riscv_xlen=64 -DHARTSCALE_CHECK=1 -I. -Iarch/riscv/include $(filter %.c,$(SOURCES_check))

lint-layers:
	$(call say,LINT,layers)
	$(Q)tools/check-layers $(C_FILES) $(call LISTED,'*.S')

lint-lengths:
	$(call say,LINT,lengths)
	$(Q)tools/check-lengths $(C_FILES)

lint-shell:
	$(call say,LINT,shellcheck)
	$(Q)shellcheck $(SHELL_FILES)

lint-python:
	$(call say,LINT,pyflakes)
	$(Q)pyflakes3 $(sort $(PYTHON_FILES))
