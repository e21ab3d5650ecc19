/* SPDX-License-Identifier: MIT */
	.section .text.start, "ax"

/*
 * Every exception calls payload_exception(vector, ESR, ELR) and returns to where that says. First
 * in the image, so that the alignment wastes nothing.
 */
	.balign	2048
vectors:
	.set	n, 0
	.rept	16
	.balign	128
	stp	x0, x1, [sp, #-176]!
	mov	x0, #n
	b	exception
	.set	n, n + 1
	.endr

/*
 * Entered at EL1 or EL2 with MMU and caches off, interrupts masked, X0 at the device tree. Payloads
 * run at EL1 whatever the machine.
 */
	.globl _start, ap_start
_start:
	mov	x19, x0
	bl	enter_el1
	ldr	x1, =stack_top
	mov	sp, x1
	mov	x0, x19
	bl	payload_main
	bl	payload_exit

/* Where PSCI's CPU_ON starts the other vCPUs, X0 at the top of a stack. */
ap_start:
	mov	x19, x0
	bl	enter_el1
	mov	sp, x19
	bl	payload_ap_main
1:	wfi
	b	1b

/* Goes down from EL2, with nothing trapped, and catches exceptions. */
enter_el1:
	mrs	x1, CurrentEL
	cmp	x1, #2 << 2
	b.ne	2f
	ldr	x1, =psci_by_smc	/* an HVC would now come to EL2, which is empty */
	mov	w2, #1
	str	w2, [x1]
	mov	x1, #1 << 31		/* RW: EL1 is 64-bit */
	msr	hcr_el2, x1
	mov	x1, #0xc03		/* EL1 may use the physical timer; bits 10, 11 with E2H */
	msr	cnthctl_el2, x1
	msr	cntvoff_el2, xzr
	ldr	x1, =0x33ff		/* what is reserved as one; FP and SVE are not trapped; */
	mrs	x2, S3_0_C0_C7_4	/* ID_AA64MMFR4_EL1.E2H0 below 0; HCR_EL2 itself reads as written */
	tbz	x2, #27, 3f
	ldr	x1, =0x330000		/* E2H, which nested guests of KVM can't turn off: CPACR's form */
3:
	msr	cptr_el2, x1
	mrs	x1, midr_el1
	msr	vpidr_el2, x1
	mrs	x1, mpidr_el1
	msr	vmpidr_el2, x1
	mrs	x1, id_aa64pfr0_el1
	tst	x1, #0xf << 24		/* GIC: has it system registers? */
	b.eq	1f
	mrs	x1, icc_sre_el2
	orr	x1, x1, #0xf		/* SRE, no bypass, and EL1 may use them */
	msr	icc_sre_el2, x1
	isb
1:	ldr	x1, =0x30d00800		/* what is reserved as one, and no more */
	msr	sctlr_el1, x1
	mov	x1, #0x3c5		/* EL1h, all masked */
	msr	spsr_el2, x1
	adr	x1, 2f
	msr	elr_el2, x1
	eret
2:	ldr	x1, =vectors
	msr	vbar_el1, x1
	isb
	ret

exception:
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x30, [sp, #144]
	mrs	x1, esr_el1
	mrs	x2, elr_el1
	bl	payload_exception
	msr	elr_el1, x0
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
	ldp	x18, x30, [sp, #144]
	ldp	x0, x1, [sp], #176
	eret

	.bss
	.balign	16
	.space	8192
stack_top:

	.section .note.GNU-stack, "", %progbits
