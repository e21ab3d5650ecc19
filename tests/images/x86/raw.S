/* SPDX-License-Identifier: MIT */
/* Real mode, as a boot sector is: says where it is, and leaves its status, 17. */
	.code16
	.section .text.start, "ax"
	.globl _start
_start:
	mov	%cs, %ax
	cmp	$0x1000, %ax
	jne	1f
	mov	%sp, %ax
	cmp	$0x8000, %ax
	jne	1f
	push	%ax
	pop	%bx
	cmp	%ax, %bx
	jne	1f
	mov	$text, %si
2:	mov	(%si), %al
	test	%al, %al
	jz	3f
	mov	$0x3f8, %dx
	out	%al, %dx
	inc	%si
	jmp	2b
3:	mov	$17, %al
	out	%al, $0xf4
1:	hlt
	jmp	1b
text:	.asciz	"raw 1000:0000\n"

	.section .note.GNU-stack, "", @progbits
