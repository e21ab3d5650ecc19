/* SPDX-License-Identifier: MIT */
#include "vm/vm.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/thread.h"
#include "util/util.h"
#include "vm/arch.h"
#include "vm/kvm.h"

#define PATIENCE (8 * 1000 * CLOCK_MS) /* with vCPUs that shall stop */

const char *vm_option(const struct vm_config *config, const char *name)
{
	for (unsigned int i = config->n_options; i > 0; i--) {
		if (!strcmp(config->options[i - 1].name, name))
			return config->options[i - 1].value;
	}
	return NULL;
}

static int check_cpus(struct vm *vm, struct err *err)
{
	int max = kvm_cap(vm->kvm_fd, KVM_CAP_MAX_VCPUS);

	if (vm->config.cpus < 1)
		return err_set(err, EINVAL, "-c 0: a guest needs a CPU");
	if (max > 0 && vm->config.cpus > (unsigned int)max)
		return err_set(err, EINVAL, "-c %u: this host's KVM allows %d vCPUs",
			       vm->config.cpus, max);
	return 0;
}

static int open_vm(struct vm *vm, struct err *err)
{
	const char *dev = vm->config.dev ? vm->config.dev : KVM_DEFAULT_DEV;
	unsigned long type;
	int size, rc;

	vm->kvm_fd = kvm_open(dev, err);
	if (vm->kvm_fd < 0)
		return vm->kvm_fd;
	if (!kvm_cap(vm->kvm_fd, KVM_CAP_USER_MEMORY) ||
	    !kvm_cap(vm->kvm_fd, KVM_CAP_IMMEDIATE_EXIT))
		return err_set(err, ENOTSUP,
			       "%s lacks KVM_CAP_IMMEDIATE_EXIT: the host's kernel is older "
			       "than 4.12",
			       dev);
	size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run))
		return err_set(err, EPROTO, "%s: KVM_GET_VCPU_MMAP_SIZE gives %d", dev, size);
	vm->run_size = (uint32_t)size;
	rc = check_cpus(vm, err);
	if (!rc)
		rc = arch_vm_type(vm->kvm_fd, &vm->config, &type, err);
	if (rc)
		return rc;
	/* EINTR: a signal met the creation, which does not restart by itself. */
	do {
		vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, type);
	} while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0)
		return err_set(err, errno, "KVM cannot create a VM: %s", strerror(errno));
	return 0;
}

static int lay_over(struct vm *vm, struct err *err)
{
	const struct vm_config *c = &vm->config;
	int rc = mem_lay_over(&vm->mem, c->over_fd, c->over, c->n_over);

	return rc ? err_set(err, -rc, "what is laid over the guest's memory: %s", strerror(-rc))
		  : 0;
}

static int map_ram(struct vm *vm, struct err *err)
{
	struct mem *mem = &vm->mem;
	int fd = vm->config.backing == MEM_ANON ? -1 : vm->config.backing_fd;
	int rc = mem_create(mem, vm->config.backing, fd, vm->config.mem + arch_own_ram, err);

	if (!rc && vm->config.over)
		rc = lay_over(vm, err);
	if (!rc)
		rc = arch_layout(vm, err);
	for (unsigned int i = 0; !rc && i < mem->n_slots; i++) {
		struct kvm_userspace_memory_region region = {
			.slot = i,
			.guest_phys_addr = mem->slots[i].gpa,
			.memory_size = mem->slots[i].size,
			.userspace_addr = (uintptr_t)mem->slots[i].hva,
		};

		if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region))
			rc = err_set(err, errno, "KVM refuses guest RAM at 0x%llx: %s",
				     (unsigned long long)mem->slots[i].gpa, strerror(errno));
	}
	return rc;
}

/* In the order that costs KVM the least: memory slots before what makes each of them wait. */
static int build(struct vm *vm, struct err *err)
{
	int rc = open_vm(vm, err);

	if (!rc)
		rc = map_ram(vm, err);
	if (!rc && (bus_init(&vm->mmio) || bus_init(&vm->pio) ||
		    irq_init(&vm->irq, vm->fd, vm->config.irq_lines)))
		rc = err_set(err, ENOMEM, "no memory for the machine's buses");
	vm->mmio.vm_fd = vm->fd;
	if (!rc)
		rc = arch_create(vm, err);
	return rc;
}

int vm_create(const struct vm_config *config, struct vm **out, struct err *err)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int rc;

	*out = NULL;
	if (!vm)
		return err_set(err, ENOMEM, "no memory for a VM");
	vm->config = *config;
	vm->kvm_fd = vm->fd = -1;
	pthread_mutex_init(&vm->lock, NULL);
	clock_cond_init(&vm->changed);
	rc = build(vm, err);
	if (rc)
		vm_destroy(vm);
	else
		*out = vm;
	return rc;
}

void vm_destroy(struct vm *vm)
{
	if (!vm)
		return;
	for (unsigned int i = 0; i < vm->n_vcpus; i++) {
		if (vm->vcpus[i].has_thread)
			pthread_join(vm->vcpus[i].thread, NULL);
		vcpu_destroy(&vm->vcpus[i]);
	}
	free(vm->vcpus);
	arch_destroy(vm);
	if (vm->irq.vm_fd)
		irq_destroy(&vm->irq);
	bus_destroy(&vm->pio);
	bus_destroy(&vm->mmio);
	/*
	 * Not left to the process's end, where an address space that KVM still looks at often waits some
	 * 14 ms for a grace period. RAM goes when KVM has let go of it.
	 */
	if (vm->fd >= 0)
		close(vm->fd);
	if (!vm->config.leaves_maps)
		mem_destroy(&vm->mem);
	if (vm->kvm_fd >= 0)
		close(vm->kvm_fd);
	pthread_cond_destroy(&vm->changed);
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

static int create_vcpus(struct vm *vm, struct err *err)
{
	int rc = 0;

	vm->vcpus = calloc(vm->config.cpus, sizeof(vm->vcpus[0]));
	if (!vm->vcpus)
		return err_set(err, ENOMEM, "no memory for %u vCPUs", vm->config.cpus);
	for (unsigned int i = 0; i < vm->config.cpus; i++)
		vm->vcpus[i].fd = -1;
	vm->n_vcpus = vm->config.cpus;
	for (unsigned int i = 0; !rc && i < vm->n_vcpus; i++)
		rc = vcpu_create(vm, i, err);
	return rc ? rc : arch_vcpus_ready(vm, err);
}

static void leave(struct vm *vm, unsigned int n)
{
	pthread_mutex_lock(&vm->lock);
	vm->live -= n;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
}

static void *vcpu_main(void *arg)
{
	struct vcpu *vcpu = arg;
	struct vm *vm = vcpu->vm;
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", vcpu->id);
	pthread_setname_np(pthread_self(), name);
	pthread_mutex_lock(&vm->lock);
	while (!vm->live)
		pthread_cond_wait(&vm->changed, &vm->lock);
	pthread_mutex_unlock(&vm->lock);
	vcpu_loop(vcpu);
	leave(vcpu->vm, 1);
	return NULL;
}

/*
 * The other vCPUs' threads, which wait. They are there before anything is told that the guest runs: one that could
 * not be made would end it.
 */
static int start_threads(struct vm *vm, struct err *err)
{
	for (unsigned int i = 1; i < vm->n_vcpus; i++) {
		struct vcpu *vcpu = &vm->vcpus[i];
		int rc = thread_start(&vcpu->thread, vcpu_main, vcpu);

		vcpu->has_thread = !rc;
		if (rc)
			return err_set(err, rc, "cannot start a thread for vCPU %u: %s", i,
				       strerror(rc));
	}
	return 0;
}

/* All at once, those too that have no thread: a pause must wait for all that have yet to start. */
static void enter_all(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->live = vm->n_vcpus;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
}

static void wait_all_left(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	while (vm->live)
		pthread_cond_wait(&vm->changed, &vm->lock);
	pthread_mutex_unlock(&vm->lock);
}

/* Whatever came of it, it came of another image than the one that was meant. */
static void check_image(struct vm *vm)
{
	if (mem_intact(&vm->mem))
		return;
	log_at(&vm->config.log, LOG_ERROR, "%s",
	       vm->mem.backing == MEM_FILE
		       ? "the snapshot's memory was changed while the guest ran on it"
		       : "the image's file was changed while the guest ran on it: copy it, or leave out --share-image");
	verdict_add(&vm->verdict, VERDICT_HOST, 0);
}

static void run_first(struct vm *vm)
{
	sigset_t run, old;

	pthread_sigmask(SIG_SETMASK, NULL, &old);
	run = old;
	sigaddset(&run, VM_KICK_SIGNAL);
	sigaddset(&run, VM_TICK_SIGNAL);
	pthread_sigmask(SIG_SETMASK, &run, NULL);
	vcpu_loop(&vm->vcpus[0]);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static unsigned int count_threads(const struct vm *vm)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < vm->n_vcpus; i++)
		n += vm->vcpus[i].has_thread;
	return n;
}

static int run_all(struct vm *vm, struct err *err)
{
	int rc = create_vcpus(vm, err);

	if (rc)
		return rc;
	rc = start_threads(vm, err);
	if (!rc && vm->config.prepare)
		rc = vm->config.prepare(vm->config.prepare_opaque, vm, err);
	if (rc)
		atomic_store(&vm->want, VM_END);
	enter_all(vm);
	if (!rc)
		run_first(vm);
	leave(vm, vm->n_vcpus - count_threads(vm));
	wait_all_left(vm);
	if (!rc)
		check_image(vm);
	return rc;
}

/*
 * The vCPUs' threads inherit this one's affinity, and before them KVM's choice of a PMU is made by
 * it, where processors differ.
 */
int vm_run(struct vm *vm, struct err *err)
{
	cpu_set_t before;
	int rc;

	if (!vm->config.affinity)
		return run_all(vm, err);
	if (sched_getaffinity(0, sizeof(before), &before) ||
	    sched_setaffinity(0, sizeof(before), vm->config.affinity))
		return err_set(err, errno, "--vcpu-affinity: %s",
			       errno == EINVAL ? "none of these CPUs is there, or ours to use"
					       : strerror(errno));
	rc = run_all(vm, err);
	sched_setaffinity(0, sizeof(before), &before);
	return rc;
}

/* With `want` set. A vCPU that is not kickable yet will look at `want` before it enters KVM. */
static void kick_all(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->n_vcpus; i++)
		vcpu_kick(&vm->vcpus[i]);
}

void vm_end(struct vm *vm, enum verdict_reason reason, int value)
{
	verdict_add(&vm->verdict, reason, value);
	atomic_store(&vm->want, VM_END);
	kick_all(vm);
}

/* The last of those who wanted it paused. With the lock held. */
static void end_pause(struct vm *vm)
{
	int paused = VM_PAUSE;

	if (!vm->pauses || --vm->pauses)
		return;
	if (vm->live && vm->parked == vm->live)
		arch_resumed(vm);
	if (atomic_compare_exchange_strong(&vm->want, &paused, VM_RUN))
		kick_all(vm);
}

int vm_pause(struct vm *vm)
{
	const struct timespec until = clock_after(PATIENCE);
	int running = VM_RUN;
	int rc = 0;

	pthread_mutex_lock(&vm->lock);
	if (!vm->pauses++ && atomic_compare_exchange_strong(&vm->want, &running, VM_PAUSE))
		kick_all(vm);
	while (!rc && vm->parked < vm->live && atomic_load(&vm->want) == VM_PAUSE)
		rc = -pthread_cond_timedwait(&vm->changed, &vm->lock, &until);
	if (!vm->live || atomic_load(&vm->want) != VM_PAUSE)
		rc = -ESRCH;
	if (rc)
		end_pause(vm);
	pthread_mutex_unlock(&vm->lock);
	return rc;
}

void vm_resume(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	end_pause(vm);
	pthread_mutex_unlock(&vm->lock);
}

int vm_nmi(struct vm *vm, unsigned int id)
{
	int rc = vm_pause(vm);

	if (rc)
		return rc;
	if (ioctl(vm->vcpus[id].fd, KVM_NMI, 0))
		rc = errno == ENOTTY || errno == EINVAL ? -ENOTSUP : -errno;
	vm_resume(vm);
	return rc;
}

void vm_dump(struct vm *vm)
{
	if (vm_pause(vm))
		return;
	/* (A dump shows code, of which there may be none any more.) */
	for (unsigned int i = 0; mem_intact(&vm->mem) && i < vm->n_vcpus; i++) {
		log_at(&vm->config.log, LOG_ERROR, "vCPU %u:", i);
		arch_vcpu_dump(&vm->vcpus[i], &vm->config.log);
	}
	vm_resume(vm);
}
