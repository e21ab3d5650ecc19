/* SPDX-License-Identifier: MIT */
	.section .text.start, "ax"
	.globl _start
#ifdef __x86_64__
_start:					/* RDI: the boot information; RSP as behind a call */
	push	%rbx
	call	guest_main
	mov	%eax, (status + 8)
	mov	$status, %eax
	mov	$0x508, %edx		/* halt */
	out	%eax, %dx
#else
_start:					/* X0: the boot information */
	bl	guest_main
	ldr	x1, =status
	str	w0, [x1, #8]
	mov	x2, #0x100000000
	str	w1, [x2, #64]		/* halt */
#endif
1:
#ifdef __x86_64__
	jmp	1b
#else
	b	1b
#endif
	.data
	.balign	8
status:	.quad	0, 0
	.section .note.GNU-stack, "", %progbits
