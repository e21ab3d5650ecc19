/* SPDX-License-Identifier: MIT */
/* What is no state of a vCPU or a VM is refused, and what KVM makes of wrong bits breaks nothing. */
#include "arm/arm.h"
#include "tests/payload/arm64/hops.h"

static const struct taken *good;

static int try_vcpu(struct vm *vm, const uint8_t *data, size_t len)
{
	struct reader in = { .p = data, .left = len };

	return arch_vcpu_restore(&vm->vcpus[0], &in, NULL);
}

static int try_vm(struct vm *vm, const uint8_t *data, size_t len)
{
	struct reader in = { .p = data, .left = len };

	return arch_restore(vm, &in, NULL);
}

typedef int (*attempt)(struct vm *vm, const uint8_t *data, size_t len);

/* A copy of its own for each length: sanitizers see what is read behind it. */
static void cuts(struct vm *vm, const char *what, attempt try, const struct buf *b, size_t step)
{
	int wrong = 0;

	for (size_t len = 0; len < b->len; len += len < 64 || len + 64 > b->len ? 1 : step) {
		uint8_t *copy = malloc(len + 1);

		memcpy(copy, b->data, len);
		wrong += try(vm, copy, len) != -EINVAL;
		free(copy);
	}
	ok(!wrong, "%s cut short is refused: %d times not", what, wrong);
}

/* Whatever KVM makes of them: nothing breaks. */
static void flips(struct vm *vm, const char *what, attempt try, const struct buf *b, int n)
{
	uint8_t *copy = malloc(b->len);
	uint32_t seed = 1;
	int refused = 0;

	for (int i = 0; i < n; i++) {
		memcpy(copy, b->data, b->len);
		for (int bits = 0; bits < 3; bits++) {
			seed = seed * 1664525 + 1013904223;
			copy[(seed >> 8) % b->len] ^= (uint8_t)(1u << (seed >> 5 & 7));
		}
		refused += try(vm, copy, b->len) != 0;
	}
	free(copy);
	ok(true, "%s with bits that are wrong: %d of %d refused", what, refused, n);
}

static void lies(struct vm *vm, const struct buf *b)
{
	static const uint32_t counts[] = { 0, 1, 0x7fffffff, UINT32_MAX };
	struct reader in = { .left = b->len };
	struct err err = { "" };
	uint8_t *copy = malloc(b->len);
	uint64_t id;

	memcpy(copy, b->data, b->len);
	for (unsigned int i = 0; i < ARRAY_SIZE(counts); i++) {
		put_le32(copy, counts[i]);
		ok(try_vcpu(vm, copy, b->len) == -EINVAL, "a count of %u is refused", counts[i]);
	}
	memcpy(copy, b->data, b->len);
	id = get_le64(copy + 4);
	put_le64(copy + 4 + 8 + KVM_REG_SIZE(id), id);
	ok(try_vcpu(vm, copy, b->len) == -EINVAL, "a register that comes twice");
	put_le64(copy + 4, id ^ KVM_REG_ARM64 ^ KVM_REG_X86);
	ok(try_vcpu(vm, copy, b->len) == -EINVAL, "a register of another architecture");
	put_le64(copy + 4, ARM64_SYS_REG(3, 0, 2, 1, 7));
	in.p = copy;
	ok(arch_vcpu_restore(&vm->vcpus[0], &in, &err) == -ENOTSUP &&
		   strstr(err.text, "0x603000000013c10f (pointer authentication)"),
	   "one that is not there is named: %s", err.text);
	free(copy);
	copy = malloc(good->vm.len);
	memcpy(copy, good->vm.data, good->vm.len);
	copy[COUNTERS] ^= 1;
	ok(try_vm(vm, copy, good->vm.len) == -EINVAL, "another GIC's state");
	free(copy);
}

/* As if a processor said that it is another. */
static void other_processor(struct vm *vm, const struct buf *b)
{
	const uint64_t midr = ARM64_SYS_REG(3, 0, 0, 0, 0);
	struct err err = { "" };
	struct reader in = { .left = b->len };
	uint8_t *copy = malloc(b->len);
	size_t at = 4;

	memcpy(copy, b->data, b->len);
	while (at + 16 <= b->len && get_le64(copy + at) != midr)
		at += 8 + KVM_REG_SIZE(get_le64(copy + at));
	copy[at + 8] ^= 0x10;
	in.p = copy;
	ok(arch_vcpu_restore(&vm->vcpus[0], &in, &err) == -ENOTSUP &&
		   strstr(err.text, "what the processor is"),
	   "another processor's: %s", err.text);
	free(copy);
}

/* Restored with another time in it: what the counter has then gained, in seconds. */
static int64_t gain(struct vm *vm, uint64_t when)
{
	uint8_t *copy = malloc(good->vm.len);
	struct buf now = { 0 };
	int64_t s = -1;

	memcpy(copy, good->vm.data, good->vm.len);
	put_le64(copy + COUNTERS_WHEN, when);
	if (!try_vm(vm, copy, good->vm.len) && !arch_save(vm, &now, NULL))
		s = (int64_t)(get_le64(now.data) - get_le64(copy)) /
		    (int64_t)get_le64(copy + COUNTERS_HZ);
	buf_free(&now);
	free(copy);
	return s;
}

static void times(struct vm *vm)
{
	const uint64_t hour = 3600ull * 1000000000, when = get_le64(good->vm.data + COUNTERS_WHEN);
	uint64_t hz = get_le64(good->vm.data + COUNTERS_HZ);
	struct reader in = { .left = good->vm.len };
	uint8_t *copy = malloc(good->vm.len);
	struct err err = { "" };
	int64_t s;

	s = gain(vm, when - hour);
	ok(s >= 3600 && s < 3660, "an hour later the counter has gone on for %lld s", (long long)s);
	s = gain(vm, when + hour);
	ok(s >= 0 && s < 60, "what was saved in the future goes on from there: %lld s",
	   (long long)s);
	s = gain(vm, 0);
	ok(s >= 3650 * 86400 && s < 3650 * 86400 + 60,
	   "and what was saved long ago for ten years: %lld s", (long long)s);
	memcpy(copy, good->vm.data, good->vm.len);
	put_le64(copy + COUNTERS_HZ, hz + 1);
	in.p = copy;
	ok(arch_restore(vm, &in, &err) == -ENOTSUP && strstr(err.text, " Hz, and this host's"),
	   "another frequency: %s", err.text);
	free(copy);
}

static int be_hostile(void *opaque, struct vm *vm, struct err *err)
{
	(void)opaque;
	cuts(vm, "a vCPU", try_vcpu, &good->vcpus[0], good->vcpus[0].len / 300 + 1);
	cuts(vm, "a VM", try_vm, &good->vm, 1);
	lies(vm, &good->vcpus[0]);
	times(vm);
	other_processor(vm, &good->vcpus[0]);
	flips(vm, "a vCPU", try_vcpu, &good->vcpus[0], 200);
	flips(vm, "a VM", try_vm, &good->vm, 400);
	return err_set(err, ECANCELED, "it must not run");
}

static bool hostile(const char *irqchip)
{
	struct guest g = { .what = irqchip, .irqchip = irqchip, .cpus = 2, .payload = "irq" };
	struct guest victim = g;
	struct taken state;

	if (!has_chip(irqchip) || !start(&g))
		return false;
	listen_to(&g, 1);
	if (!stop_and_save(&g, &state, NULL))
		return false;
	end(&g);
	good = &state;
	if (create_guest(&victim, be_hostile)) {
		ok(machine_run(victim.run.m, &victim.err) == -ECANCELED, "and it never runs");
		machine_destroy(victim.run.m);
	}
	release(&state);
	return true;
}

int main(void)
{
	static const char *const chips[] = { "gicv3", "gicv3-its", "gicv2" };
	unsigned int ran = 0;

	signal(SIGPIPE, SIG_IGN);
	for (unsigned int i = 0; i < ARRAY_SIZE(chips); i++)
		ran += hostile(chips[i]);
	ok(ran, "%u kinds of GIC", ran);
	return done_testing();
}
