# The host builds of lib/, mm/ and smp/: unit tests, ThreadSanitizer programs and fuzzers. Included by the
# top-level Makefile; paths are relative to the repository's root, output goes under build/host.
#
#   tests/host/test_*.c   cmocka programs, AddressSanitizer and UndefinedBehaviorSanitizer   build/host/test_*
#   tests/host/tsan_*.c   programs of several threads, ThreadSanitizer                       build/host/tsan_*
#   tests/host/fuzz_*.c   libFuzzer programs; tests/host/fuzz.list has for each a line       build/host/fuzz_*
#                         `name runs corpus-directory`
#   tests/host/*.c        all others: what several of them share
#
# A program links lib/. Those that HOST_SUBJECT_PROGRAMS matches also link the code that needs a machine
# under it, with the shim of tests/host/shim in the machine's place.

HOST_OUT   := build/host
HOST_CC    ?= gcc
HOST_CLANG ?= clang

HOST_CPPFLAGS := -DHARTSCALE_CHECK=1 -Itests/host/shim -Iarch/riscv/include -I.
HOST_CFLAGS   := -std=gnu11 -O1 -g -fno-omit-frame-pointer -pthread -Wall -Wextra -Werror -Wshadow \
    -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla

HOST_ASAN_FLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all
# The instrumentation hides from GCC 12 what initialises a variable; the other flavours still warn.
HOST_TSAN_FLAGS := -fsanitize=thread -Wno-maybe-uninitialized
HOST_FUZZ_FLAGS := -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all

# lib/string.c stays out: the C library has those names. test_string includes it under others.
HOST_CORE_SOURCES := $(filter-out lib/string.c,$(wildcard lib/*.c))

# The parts of smp/ and trace/ that run on the shim, one by one: the rest needs a real machine.
HOST_SMP_SOURCES     := $(wildcard smp/lock*.c) smp/barrier.c smp/hart.c smp/epoch.c smp/flush.c $(wildcard smp/shootdown*.c) trace/counter.c trace/inject.c
HOST_SUBJECT_SOURCES := $(wildcard mm/frame/*.c mm/heap/*.c mm/vm/page_table*.c mm/vm/table_*.c tests/host/shim/*.c) $(HOST_SMP_SOURCES)
HOST_SUBJECT_PROGRAMS := test_frame% test_heap% test_page_table% test_epoch test_lock test_shootdown tsan_% fuzz_frame% fuzz_heap% fuzz_page_table

# Address spaces, with TLBs that are told to forget by other means: a hart need not run for that.
HOST_SPACE_SOURCES  := $(filter-out smp/flush.c smp/shootdown%.c smp/shootdown.c %/shootdown_model.c,$(HOST_SUBJECT_SOURCES)) \
    $(wildcard mm/vm/space*.c tests/host/space/*.c) mm/vm/asid.c mm/vm/vm_design.c
HOST_SPACE_PROGRAMS := test_space test_asid tsan_space fuzz_space

HOST_TEST_SOURCES   := $(wildcard tests/host/test_*.c)
HOST_TSAN_SOURCES   := $(wildcard tests/host/tsan_*.c)
HOST_FUZZ_SOURCES   := $(wildcard tests/host/fuzz_*.c)
HOST_SHARED_SOURCES := $(filter-out $(HOST_TEST_SOURCES) $(HOST_TSAN_SOURCES) $(HOST_FUZZ_SOURCES),\
    $(wildcard tests/host/*.c))

HOST_TESTS    := $(HOST_TEST_SOURCES:tests/host/%.c=$(HOST_OUT)/%)
HOST_TSANS    := $(HOST_TSAN_SOURCES:tests/host/%.c=$(HOST_OUT)/%)
HOST_FUZZERS  := $(HOST_FUZZ_SOURCES:tests/host/%.c=$(HOST_OUT)/%)
HOST_PROGRAMS := $(HOST_TESTS) $(HOST_TSANS) $(HOST_FUZZERS)

# host_objects: the objects of $(2), sources, in the flavour $(1)
host_objects = $(patsubst %.c,$(HOST_OUT)/$(1)/%.o,$(2))

# host_flavour: the rules that build the programs $(4) with the compiler $(2) and the flags $(3), with objects
# under build/host/$(1), linked with the libraries $(5)
define host_flavour
$(HOST_OUT)/$(1)/%.o: %.c tests/host/host.mk
	@mkdir -p $$(@D)
	$$(call say,HOSTCC,$$@)
	$$(Q)$(2) $$(HOST_CPPFLAGS) $$(HOST_CFLAGS) $(3) -MMD -MP -c $$< -o $$@

$(4): $(HOST_OUT)/%: $(HOST_OUT)/$(1)/tests/host/%.o $(call host_objects,$(1),$(HOST_CORE_SOURCES) $(HOST_SHARED_SOURCES))
	$$(call say,HOSTLD,$$@)
	$$(Q)$(2) $$(HOST_CFLAGS) $(3) $$(filter %.o,$$^) $(5) -o $$@

$(filter $(HOST_SPACE_PROGRAMS:%=$(HOST_OUT)/%),$(4)): $(call host_objects,$(1),$(HOST_SPACE_SOURCES))
$(filter-out $(HOST_SPACE_PROGRAMS:%=$(HOST_OUT)/%),$(filter $(HOST_SUBJECT_PROGRAMS:%=$(HOST_OUT)/%),$(4))): $(call host_objects,$(1),$(HOST_SUBJECT_SOURCES))
endef

$(eval $(call host_flavour,asan,$(HOST_CC),$(HOST_ASAN_FLAGS),$(HOST_TESTS),-lcmocka))
$(eval $(call host_flavour,tsan,$(HOST_CC),$(HOST_TSAN_FLAGS),$(HOST_TSANS),-lcmocka))
$(eval $(call host_flavour,fuzz,$(HOST_CLANG),$(HOST_FUZZ_FLAGS),$(HOST_FUZZERS),))

# Comparisons of allocators are loops over frames and bytes, thousands an operation, and none is with a value that the fuzzer
# could find in its input by knowing it: telling it of each took more than two thirds of the time.
$(HOST_OUT)/fuzz/mm/frame/%.o $(HOST_OUT)/fuzz/mm/heap/%.o: private HOST_CFLAGS += -fno-sanitize-coverage=trace-cmp
# The model of a page table is loops over the pages of gigabytes, in which the fuzzer finds nothing.
$(HOST_OUT)/fuzz/tests/host/shim/table_model.o: private HOST_CFLAGS += -O2 -fno-sanitize=all -fno-sanitize-coverage=edge,inline-8bit-counters,pc-table,trace-cmp

# These decide themselves what happens at the failure points.
$(HOST_OUT)/test_frame_races $(HOST_OUT)/test_frame_llfree_races $(HOST_OUT)/test_heap_races \
    $(HOST_OUT)/test_heap_slab_races $(HOST_OUT)/test_heap_nbbuddy_races $(HOST_OUT)/test_page_table_races \
    $(HOST_OUT)/tsan_page_table: private \
    HOST_CFLAGS += -Wl,--wrap=inject_due

.PHONY: host-tests
host-tests: $(HOST_PROGRAMS)

# Objects are kept: without this make takes those that only pattern rules mention for intermediate files.
.SECONDARY: $(foreach flavour,asan tsan fuzz,$(call host_objects,$(flavour),$(HOST_CORE_SOURCES) \
    $(HOST_SHARED_SOURCES) $(HOST_SUBJECT_SOURCES) $(HOST_SPACE_SOURCES) $(HOST_TEST_SOURCES) $(HOST_TSAN_SOURCES) $(HOST_FUZZ_SOURCES)))

-include $(foreach flavour,asan tsan fuzz,$(patsubst %.o,%.d,$(call host_objects,$(flavour),\
    $(HOST_CORE_SOURCES) $(HOST_SHARED_SOURCES) $(HOST_SUBJECT_SOURCES) $(HOST_SPACE_SOURCES) $(HOST_TEST_SOURCES) \
    $(HOST_TSAN_SOURCES) $(HOST_FUZZ_SOURCES))))
