/* SPDX-License-Identifier: MIT */
/*
 * The ways into the test images, of which each is linked with one:
 *
 *   MULTIBOOT             a header for an ELF file
 *   MULTIBOOT, ADDRESSES  one that says itself where a flat file goes
 *   PVH                   a note
 *   LINUX64               none: 64-bit mode, RSI at the zero page
 */
#define MAGIC 0x1badb002

	.section .text.start, "ax"
	.globl _start
#ifdef LINUX64
	.code64
_start:
	lea	stack_top(%rip), %rsp
	xor	%edi, %edi
	/* (RSI is the second argument already.) */
	call	image_main
#else
	.code32
#ifdef MULTIBOOT
	.balign	4
header:
#ifdef ADDRESSES
	.long	MAGIC, 0x10003, -(MAGIC + 0x10003)
	.long	header, image_start, image_end, bss_end, _start
#else
	.long	MAGIC, 3, -(MAGIC + 3)
#endif
#endif
_start:
	mov	$stack_top, %esp
	push	%ebx
	push	%eax
	call	image_main
#endif
1:	hlt
	jmp	1b

#ifdef PVH
	.section .note.pvh, "a", @note
	.balign	4
	.long	4, 4, 18
	.asciz	"Xen"
	.long	_start
#endif

	.bss
	.balign	16
	.space	4096
stack_top:

	.section .note.GNU-stack, "", @progbits
