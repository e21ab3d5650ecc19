/* SPDX-License-Identifier: MIT */
/* What the files of hvt/ share. Nobody outside includes this. */
#ifndef HVT_PARTS_H
#define HVT_PARTS_H

#include "host/disk.h"
#include "host/net.h"
#include "hvt/hvt.h"

/* What a hypercall says of itself. */
enum hvt_result { HVT_OK, HVT_AGAIN, HVT_INVALID, HVT_UNSPECIFIED };

struct hvt_device {
	struct solo5_device spec; /* as the manifest has it */
	struct disk *disk;	  /* a block device's, or NULL */
	struct net *net;	  /* a network's, or NULL */
	bool net_gone;
	uint16_t block_size;
	uint8_t mac[6];
	uint16_t mtu;
	bool has_mac;
};

struct hvt {
	struct vm *vm;
	struct hvt_console console;
	unsigned int n_devices;
	struct hvt_device *devices;
	int kick_fd, timer_fd; /* -1: not needed yet */
	atomic_int room_fd;    /* the same */
};

/* The guest did what it must not: says so, and ends it. */
void hvt_fault(struct hvt *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * What the guest means by an address: NULL unless it may read or write there itself. With len 0 it
 * is not looked at, and what is returned must not be either.
 */
void *hvt_at(struct hvt *h, uint64_t gpa, uint64_t len, enum mem_access access);

/* hvt/attach.c: as the options say; every device of the manifest has something behind it. */
int hvt_attach_all(struct hvt *h, const struct hvt_guest *guest, struct err *err);
void hvt_detach_all(struct hvt *h);

/* hvt/io.c: hypercalls 4 to 7. `gpa` is where their arguments are. */
void hvt_block_write(struct hvt *h, uint64_t gpa);
void hvt_block_read(struct hvt *h, uint64_t gpa);
void hvt_net_write(struct hvt *h, uint64_t gpa);
void hvt_net_read(struct hvt *h, uint64_t gpa);

/*
 * hvt/wait.c: hypercall 3. And: until it is worth another try to print, also through a pause; false:
 * the VM shall end.
 */
void hvt_poll(struct hvt *h, uint64_t gpa);
bool hvt_wait_room(struct hvt *h);

#endif
