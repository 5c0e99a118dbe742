/* A program's first instructions, and those of its threads. */
        .section .text.start, "ax"
        .globl _start
_start:
        li      fp, 0
        ld      a0, 0(sp)
        addi    a1, sp, 8
        call    main
        li      a7, 94          /* exit_group */
        ecall

/* a0 = flags, a1 = top of the stack, a2 = parent_tid, a3 = tls, a4 = child_tid, a5 = function, a6 = argument.
 * clone() whose child calls the function, on its own stack, and ends with what that returns. */
        .text
        .globl clone_thread
clone_thread:
        li      a7, 220
        ecall
        bnez    a0, 1f
        li      fp, 0
        mv      a0, a6
        jalr    a5
        li      a7, 93          /* exit */
        ecall
1:      ret
