/* SPDX-License-Identifier: MIT */
/*
 * Entered in 64-bit mode with RSI at the zero page. Segments are as the loader left them: a payload
 * that needs more (an IDT) sets it up itself.
 */
	.section .text.start, "ax"
	.globl _start
_start:
	lea	stack_top(%rip), %rsp
	mov	%rsi, %rdi
	call	payload_main
	mov	%eax, %edi
	call	payload_exit

/*
 * Where the other vCPUs begin: lib.c copies this to 0x8000, SIPI's vector 8. From real mode straight
 * to 64-bit mode, on the page tables of the boot CPU.
 */
	.globl ap_start, ap_stack, ap_end
	.code16
ap_start:
	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	movl	$0x9000, %eax
	movl	%eax, %cr3
	movl	$0x20, %eax		/* PAE */
	movl	%eax, %cr4
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x100, %eax		/* LME */
	wrmsr
	lgdtl	%cs:(ap_gdt_pointer - ap_start)
	movl	$0x80000021, %eax	/* PG, NE, PE */
	movl	%eax, %cr0
	ljmpl	$8, $(0x8000 + ap_64 - ap_start)
	.code64
ap_64:
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movq	0x8000 + ap_stack - ap_start, %rsp
	movabs	$payload_ap_main, %rax
	call	*%rax
1:	hlt
	jmp	1b
	.balign	8
ap_gdt_pointer:
	.word	5 * 8 - 1
	.long	0x500			/* the loader's GDT: code 8, data 0x10 */
	.balign	8
ap_stack:
	.quad	0			/* lib.c writes it into the copy */
ap_end:

	.bss
	.balign	16
	.space	8192
stack_top:

	.section .note.GNU-stack, "", @progbits
