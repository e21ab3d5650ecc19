/* SPDX-License-Identifier: MIT */
/*
 * The AML (ACPI machine language, ACPI 6.4, chapter 20) that our DSDT needs, and no more.
 * A package is opened and closed; in between its contents are appended to the same buffer.
 */
#ifndef X86_AML_H
#define X86_AML_H

#include "util/buf.h"

/* Returns a mark for aml_end(). Names are of at most 4 characters, padded here. */
size_t aml_scope(struct buf *b, const char *path);
size_t aml_device(struct buf *b, const char *name);
size_t aml_name_buffer(struct buf *b, const char *name); /* Name(name, ResourceTemplate) */
void aml_end(struct buf *b, size_t mark);
void aml_end_buffer(struct buf *b, size_t mark); /* closes aml_name_buffer() */

/* Region `region` at an I/O port, and of it the field `field`: one byte. */
void aml_port_byte(struct buf *b, const char *region, const char *field, uint16_t port);
size_t aml_method(struct buf *b, const char *name, uint8_t args); /* closed by aml_end() */
/* In a method: Local0 = field; and: if Local0 has this bit, Notify(device, 0x80). */
void aml_load(struct buf *b, const char *field);
void aml_notify_if(struct buf *b, uint8_t bit, const char *device);

void aml_name_int(struct buf *b, const char *name, uint32_t value);
void aml_name_string(struct buf *b, const char *name, const char *value);
void aml_name_eisa(struct buf *b, const char *name, const char *id); /* "PNP0501" */
/* Name(name, Package(n) { values }) with small integers. */
void aml_name_package(struct buf *b, const char *name, const uint8_t *values, uint8_t n);
/* The same of n such as these, closed by aml_end(). */
size_t aml_name_list(struct buf *b, const char *name, uint8_t n);
void aml_int(struct buf *b, uint32_t value);
void aml_string(struct buf *b, const char *value);

/* Resource descriptors (ACPI 6.4, section 6.4), inside aml_name_buffer(). */
void aml_io(struct buf *b, uint16_t port, uint8_t size);
void aml_memory32(struct buf *b, uint32_t base, uint32_t size);
/* What a host bridge produces: bus numbers, and addresses for BARs. */
void aml_buses(struct buf *b, uint8_t first, uint8_t last);
void aml_memory_window32(struct buf *b, uint32_t base, uint32_t size);
void aml_interrupt(struct buf *b, uint32_t gsi, bool level); /* active high, exclusive */

#endif
