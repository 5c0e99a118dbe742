/*
 * Control and status registers of S-mode: access and the bits that are used.
 * Source: The RISC-V Instruction Set Manual, Volume II: Privileged Architecture, 20240411.
 */
#ifndef ARCH_CSR_H
#define ARCH_CSR_H

#define SSTATUS_SIE  (1ul << 1)
#define SSTATUS_SPIE (1ul << 5)
#define SSTATUS_SPP  (1ul << 8)
#define SSTATUS_SUM  (1ul << 18) /* the kernel may read and write what is a program's */

/* The floating-point unit: off, as it was at first, as memory has it, written */
#define SSTATUS_FS       (3ul << 13)
#define SSTATUS_FS_CLEAN (2ul << 13)
#define SSTATUS_FS_DIRTY (3ul << 13)

/* sie and sip */
#define INTERRUPT_SOFTWARE (1ul << 1)
#define INTERRUPT_TIMER    (1ul << 5)
#define INTERRUPT_EXTERNAL (1ul << 9)

#define SCAUSE_INTERRUPT (1ul << 63)
#define SCAUSE_SOFTWARE  (SCAUSE_INTERRUPT | 1)
#define SCAUSE_EXTERNAL  (SCAUSE_INTERRUPT | 9)
#define SCAUSE_TIMER     (SCAUSE_INTERRUPT | 5)

#define SCAUSE_FETCH_MISALIGNED 0
#define SCAUSE_ILLEGAL          2
#define SCAUSE_BREAKPOINT       3
#define SCAUSE_LOAD_MISALIGNED  4
#define SCAUSE_STORE_MISALIGNED 6
#define SCAUSE_USER_CALL        8
#define SCAUSE_FETCH_PAGE_FAULT 12
#define SCAUSE_LOAD_PAGE_FAULT  13
#define SCAUSE_STORE_PAGE_FAULT 15

#define csr_read(csr)                                                                                        \
    ({                                                                                                       \
        unsigned long csr_value_;                                                                            \
        __asm__ volatile("csrr %0, " #csr : "=r"(csr_value_)::"memory");                                     \
        csr_value_;                                                                                          \
    })
#define csr_write(csr, bits) __asm__ volatile("csrw " #csr ", %0" ::"rK"((unsigned long)(bits)) : "memory")
#define csr_set(csr, bits)   __asm__ volatile("csrs " #csr ", %0" ::"rK"((unsigned long)(bits)) : "memory")
#define csr_clear(csr, bits) __asm__ volatile("csrc " #csr ", %0" ::"rK"((unsigned long)(bits)) : "memory")
#define csr_read_clear(csr, bits)                                                                            \
    ({                                                                                                       \
        unsigned long csr_value_;                                                                            \
        __asm__ volatile("csrrc %0, " #csr ", %1"                                                            \
                         : "=r"(csr_value_)                                                                  \
                         : "rK"((unsigned long)(bits))                                                       \
                         : "memory");                                                                        \
        csr_value_;                                                                                          \
    })

#endif
